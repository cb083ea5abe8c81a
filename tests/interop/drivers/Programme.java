// The programme of a driver, for JDBC: mssql-jdbc and jTDS by their URL. See programme.hpp for what it is told and what it prints.
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import javax.sql.ConnectionPoolDataSource;
import javax.sql.PooledConnection;

public class Programme {
  static final Map<String, String> told = System.getenv();
  static final boolean jtds = told.get("SQL_MODE").startsWith("jtds");

  interface Step { void run(String name) throws Exception; }

  public static void main(String[] arguments) throws Exception {
    // Whatever hangs, hangs no longer than this.
    new Timer(true).schedule(new TimerTask() { public void run() { System.out.println("timed out"); Runtime.getRuntime().halt(3); } }, 120_000);
    if (jtds) Class.forName("net.sourceforge.jtds.jdbc.Driver");
    Map<String, Step> steps = new LinkedHashMap<>();
    steps.put("connect", Programme::connect);
    steps.put("results", Programme::results);
    steps.put("types", Programme::types);
    steps.put("parameters", Programme::parameters);
    steps.put("prepared", Programme::prepared);
    steps.put("transaction", name -> transaction(name, true));
    steps.put("rollback", name -> transaction(name, false));
    steps.put("error", Programme::error);
    steps.put("warning", Programme::warning);
    steps.put("large-result", Programme::largeResult);
    steps.put("large-parameter", Programme::largeParameter);
    steps.put("bulk-copy", Programme::bulkCopy);
    steps.put("cancel", Programme::cancel);
    steps.put("pool-reset", Programme::poolReset);
    steps.put("fifty", Programme::fifty);
    steps.put("disconnect", Programme::disconnect);
    String only = told.getOrDefault("SQL_ONLY", "");
    int failed = 0;
    for (Map.Entry<String, Step> step : steps.entrySet()) {
      if (!only.isEmpty() && !only.equals(step.getKey())) continue;
      try {
        step.getValue().run(step.getKey());
      } catch (Throwable problem) {
        ++failed;
        say(step.getKey(), "failed: " + text(problem));
        if (!only.isEmpty()) continue;
        problem.printStackTrace(System.out);
      }
    }
    System.exit(failed == 0 ? 0 : 1);
  }

  // -- connections

  static String url(String step) {
    StringBuilder url = new StringBuilder(jtds ? "jdbc:jtds:sqlserver://" : "jdbc:sqlserver://");
    url.append(told.get("SQL_HOST")).append(':').append(told.get("SQL_PORT"));
    if (jtds) url.append("/reports");
    else url.append(";databaseName=reports");
    url.append(jtds ? ";appName=" : ";applicationName=").append(told.get("SQL_APP")).append('+').append(step);
    for (String part : told.get("SQL_MODE").split(";"))
      if (part.contains("=")) url.append(';').append(part);
    String auth = told.get("SQL_AUTH");
    if (!jtds && told.get("SQL_MODE").contains("encrypt=strict")) url.append(";serverCertificate=").append(told.get("SQL_CERTIFICATE"));
    else if (!jtds) url.append(";trustServerCertificate=true");
    if (auth.equals("kerberos")) url.append(jtds ? ";useKerberos=true" : ";integratedSecurity=true;authenticationScheme=JavaKerberos;serverSpn=" + told.get("SQL_SPN"));
    if (auth.equals("ntlm")) url.append(jtds ? ";domain=CORP;useNTLMv2=true" : ";integratedSecurity=true;authenticationScheme=NTLM;domain=CORP");
    return url.toString();
  }

  static Connection open(String step) throws SQLException {
    if (told.get("SQL_AUTH").equals("kerberos")) return DriverManager.getConnection(url(step));
    return DriverManager.getConnection(url(step), told.get("SQL_USER"), told.get("SQL_PASSWORD"));
  }

  // -- steps

  static void connect(String step) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement()) {
      try (ResultSet rows = statement.executeQuery("select app_name(), host_name(), @@language, db_name(), host_process_id from sys.dm_exec_sessions where session_id=@@spid")) {
        rows.next();
        for (int column = 1; column <= 4; ++column) say(step, rows.getString(column));
        long pid = rows.getLong(5);
        say(step, "process id: " + (pid == ProcessHandle.current().pid() ? "own" : pid == 0 ? "none" : "of the driver's making"));
      }
      try (ResultSet rows = statement.executeQuery("select net_packet_size from sys.dm_exec_connections where session_id=@@spid")) { print(step, rows); }
      say(step, connection.getCatalog() + " " + connection.getMetaData().getDriverVersion());
    }
  }

  static void results(String step) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement()) {
      boolean rows = statement.execute("select 1 as a, 'one' as b select 'two' as c");
      for (; rows || statement.getUpdateCount() != -1; rows = statement.getMoreResults())
        if (rows) print(step, statement.getResultSet());
        else say(step, "count " + statement.getUpdateCount());
    }
  }

  /** Each column is read, and its value sent back as a parameter of the type that the driver gives the column. */
  static void types(String step) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement()) {
      for (String call : new String[] {"exec lab_types", "exec lab_types 1"}) {
        List<Object> values = new ArrayList<>();
        List<Integer> types = new ArrayList<>();
        try (ResultSet rows = statement.executeQuery(call)) {
          ResultSetMetaData meta = rows.getMetaData();
          while (rows.next())
            for (int column = 1; column <= meta.getColumnCount(); ++column) {
              Object value = value(rows, column);
              say(step, meta.getColumnName(column) + " " + meta.getColumnTypeName(column) + " " + meta.getPrecision(column) + " " + meta.getScale(column) + " " + shown(value));
              values.add(value);
              types.add(meta.getColumnType(column));
            }
        }
        for (int i = 0; i < values.size(); ++i) {
          String outcome;
          try (CallableStatement echo = connection.prepareCall("{call lab_echo(?)}")) {
            if (values.get(i) == null) echo.setNull(1, types.get(i));
            else echo.setObject(1, values.get(i), types.get(i));
            try (ResultSet rows = echo.executeQuery()) { rows.next(); outcome = rows.getMetaData().getColumnTypeName(1) + " " + shown(value(rows, 1)); }
          } catch (SQLException refused) {
            outcome = "refused: " + text(refused);
          }
          say(step, "sent " + (i + 1) + " " + outcome);
        }
      }
    }
  }

  static void parameters(String step) throws Exception {
    try (Connection connection = open(step); PreparedStatement select = connection.prepareStatement("select ? as a, ? as b, ? as c")) {
      select.setInt(1, 42);
      select.setString(2, "Zo\u00eb \u2603");
      select.setNull(3, Types.VARCHAR);
      try (ResultSet rows = select.executeQuery()) { print(step, rows); }
    }
  }

  static void prepared(String step) throws Exception {
    try (Connection connection = open(step); PreparedStatement select = connection.prepareStatement("select ? as a")) {
      for (int value : new int[] {1, 2, 3, -4}) {
        select.setInt(1, value);
        try (ResultSet rows = select.executeQuery()) { print(step, rows); }
      }
    }
  }

  static void transaction(String step, boolean commit) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement()) {
      statement.executeUpdate("create table #t (i int, s varchar(20))");
      connection.setAutoCommit(false);
      say(step, "inserted " + statement.executeUpdate("insert into #t values (1, 'one')"));
      try (ResultSet rows = statement.executeQuery("select count(*) from #t")) { print(step, rows); }
      if (commit) connection.commit();
      else connection.rollback();
      connection.setAutoCommit(true);
      try (ResultSet rows = statement.executeQuery("select count(*) from #t")) { print(step, rows); }
      try (ResultSet rows = statement.executeQuery("select @@trancount")) { print(step, rows); }
    }
  }

  static void error(String step) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement()) {
      try {
        statement.execute("exec lab_error 50123, 16, 'what the server says'");
        say(step, "no error");
      } catch (SQLException refused) {
        say(step, text(refused) + " " + refused.getErrorCode() + " " + refused.getSQLState());
      }
      try (ResultSet rows = statement.executeQuery("select 'alive'")) { print(step, rows); }
    }
  }

  static void warning(String step) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement()) {
      statement.execute("print 'a word of warning'");
      for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning())
        say(step, warning.getMessage() + " " + warning.getErrorCode() + " " + warning.getSQLState());
    }
  }

  static void largeResult(String step) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("exec lab_rows 2600, 8000")) {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      int count = 0;
      for (; rows.next(); ++count) digest.update((rows.getInt(1) + rows.getString(2)).getBytes(StandardCharsets.UTF_8));
      say(step, count + " rows, " + hex(digest));
    }
  }

  static void largeParameter(String step) throws Exception {
    try (Connection connection = open(step); CallableStatement echo = connection.prepareCall("{call lab_echo(?)}")) {
      byte[] bytes = new byte[5_000_000];
      new Random(5).nextBytes(bytes);
      echo.setBytes(1, bytes);
      try (ResultSet rows = echo.executeQuery()) {
        rows.next();
        byte[] back = rows.getBytes(1);
        say(step, back.length + " bytes, " + (Arrays.equals(bytes, back) ? "the same" : "others"));
      }
    }
  }

  static void bulkCopy(String step) throws Exception {
    if (jtds) {
      say(step, "- jTDS has no bulk copy");
      return;
    }
    try (Connection connection = open(step); Connection source = open(step); Statement statement = connection.createStatement()) {
      statement.executeUpdate("create table #b (n int, filler varchar(100))");
      Class<?> kind = Class.forName("com.microsoft.sqlserver.jdbc.SQLServerBulkCopy");
      Object bulk = kind.getConstructor(Connection.class).newInstance(connection);
      kind.getMethod("setDestinationTableName", String.class).invoke(bulk, "#b");
      try (Statement other = source.createStatement(); ResultSet rows = other.executeQuery("exec lab_rows 1000, 100")) { kind.getMethod("writeToServer", ResultSet.class).invoke(bulk, rows); }
      kind.getMethod("close").invoke(bulk);
      try (ResultSet rows = statement.executeQuery("select count(*) from #b")) { print(step, rows); }
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      try (ResultSet rows = statement.executeQuery("select n, filler from #b")) { while (rows.next()) digest.update((rows.getInt(1) + rows.getString(2)).getBytes(StandardCharsets.UTF_8)); }
      say(step, hex(digest));
    } catch (java.lang.reflect.InvocationTargetException problem) {
      throw problem.getCause() instanceof Exception ? (Exception) problem.getCause() : problem;
    }
  }

  static void cancel(String step) throws Exception {
    try (Connection connection = open(step); Statement statement = connection.createStatement()) {
      ResultSet rows = statement.executeQuery("exec lab_rows 200000, 8000");
      for (int row = 0; row < 10; ++row) rows.next();
      statement.cancel();
      try {
        int more = 0;
        while (rows.next()) ++more;
        say(step, more < 199_990 ? "cut short" : "not cut short");
      } catch (SQLException cancelled) {
        say(step, "cancelled: " + cancelled.getSQLState());
      }
      try { rows.close(); } catch (SQLException again) { }
      try (Statement next = connection.createStatement(); ResultSet alive = next.executeQuery("select 'alive'")) { print(step, alive); }
    }
  }

  static void poolReset(String step) throws Exception {
    Object source = Class.forName(jtds ? "net.sourceforge.jtds.jdbcx.JtdsDataSource" : "com.microsoft.sqlserver.jdbc.SQLServerConnectionPoolDataSource").getDeclaredConstructor().newInstance();
    if (jtds) {
      set(source, "ServerName", told.get("SQL_HOST"));
      set(source, "DatabaseName", "reports");
      set(source, "AppName", told.get("SQL_APP") + "+" + step);
      source.getClass().getMethod("setPortNumber", int.class).invoke(source, Integer.parseInt(told.get("SQL_PORT")));
      for (String part : told.get("SQL_MODE").split(";"))
        if (part.startsWith("ssl=")) set(source, "Ssl", part.substring(4));
        else if (part.startsWith("TDS=")) set(source, "Tds", part.substring(4));
      if (told.get("SQL_AUTH").equals("ntlm")) {
        set(source, "Domain", "CORP");
        source.getClass().getMethod("setUseNTLMV2", boolean.class).invoke(source, true);
      }
    } else {
      set(source, "URL", url(step));
    }
    if (!told.get("SQL_AUTH").equals("kerberos")) {
      set(source, "User", told.get("SQL_USER"));
      set(source, "Password", told.get("SQL_PASSWORD"));
    }
    PooledConnection pool = ((ConnectionPoolDataSource) source).getPooledConnection();
    for (int use = 1; use <= 3; ++use)
      try (Connection connection = pool.getConnection(); Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("select @@trancount, 'use " + use + "'")) {
        print(step, rows);
      }
    pool.close();
  }

  static void set(Object source, String property, String value) throws Exception {
    source.getClass().getMethod("set" + property, String.class).invoke(source, value);
  }

  /** All are connected before the first asks anything. */
  static void fifty(String step) throws Exception {
    int count = 50;
    CyclicBarrier all = new CyclicBarrier(count);
    ExecutorService threads = Executors.newFixedThreadPool(count);
    List<Future<String>> answers = new ArrayList<>();
    for (int i = 0; i < count; ++i) {
      int number = i;
      answers.add(threads.submit(() -> {
        try (Connection connection = open(step)) {
          all.await(60, TimeUnit.SECONDS);
          try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("select " + number)) { rows.next(); return rows.getString(1); }
        }
      }));
    }
    for (Future<String> answer : answers) say(step, answer.get());
    threads.shutdown();
  }

  /** The socket goes in the middle of a result: by abort(), and with jTDS, which has none and reads all before it closes, by the end of a process. */
  static void disconnect(String step) throws Exception {
    if (jtds && told.get("SQL_CHILD") == null) {
      ProcessBuilder child = new ProcessBuilder(ProcessHandle.current().info().command().get(), "-cp", System.getProperty("java.class.path"), "Programme");
      child.environment().put("SQL_ONLY", step);
      child.environment().put("SQL_CHILD", "yes");
      for (String line : new String(child.redirectErrorStream(true).start().getInputStream().readAllBytes(), StandardCharsets.UTF_8).split("\n"))
        if (line.startsWith("step ")) System.out.println(line);
    } else {
      Connection connection = open(step);
      ResultSet rows = connection.createStatement().executeQuery("exec lab_rows 200000, 8000");
      for (int row = 0; row < 10; ++row) rows.next();
      say(step, "row " + rows.getString(1));
      if (jtds) Runtime.getRuntime().halt(0);
      connection.abort(Runnable::run);
    }
    try (Connection next = open(step); Statement again = next.createStatement(); ResultSet alive = again.executeQuery("select 'alive'")) { print(step, alive); }
  }

  // -- words

  static Object value(ResultSet rows, int column) throws SQLException {
    Object value = rows.getObject(column);
    if (value instanceof Clob) return ((Clob) value).getSubString(1, (int) ((Clob) value).length());
    if (value instanceof Blob) return ((Blob) value).getBytes(1, (int) ((Blob) value).length());
    if (value instanceof SQLXML) return ((SQLXML) value).getString();
    return value;
  }

  static String shown(Object value) {
    if (value == null) return "NULL";
    String text = value instanceof byte[] ? HexFormat.of().formatHex((byte[]) value) : value instanceof BigDecimal ? ((BigDecimal) value).toPlainString() : value.toString();
    return value.getClass().getSimpleName() + " " + text;
  }

  static void print(String step, ResultSet rows) throws SQLException {
    ResultSetMetaData meta = rows.getMetaData();
    while (rows.next()) {
      StringJoiner row = new StringJoiner(", ");
      for (int column = 1; column <= meta.getColumnCount(); ++column) row.add(meta.getColumnName(column) + "=" + rows.getString(column));
      say(step, row.toString());
    }
  }

  /** Drivers add an id of the connection to some messages; it is a new one each time. */
  static String text(Throwable problem) {
    String text = problem instanceof ExecutionException ? problem.getCause().toString() : String.valueOf(problem.getMessage());
    return text.replaceAll(" ?ClientConnectionId:[0-9a-f-]+", "").replaceAll("ConnectionID:\\d+", "ConnectionID").replace("\n", " ");
  }

  static String hex(MessageDigest digest) { return HexFormat.of().formatHex(digest.digest()); }

  static synchronized void say(String step, String text) { System.out.println("step " + step + ": " + text); }
}

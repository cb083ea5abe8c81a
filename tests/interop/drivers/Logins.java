// Tries a login by each JDBC URL that it reads, a line each, and prints how it ended, a line each: "in" or what the driver says. One JVM for all of them.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;

public class Logins {
  public static void main(String[] arguments) throws Exception {
    BufferedReader urls = new BufferedReader(new InputStreamReader(System.in));
    for (String url = urls.readLine(); url != null; url = urls.readLine()) {
      if (url.startsWith("jdbc:jtds:")) Class.forName("net.sourceforge.jtds.jdbc.Driver"); // the only one that does not announce itself
      String ended = "in";
      try (Connection connection = DriverManager.getConnection(url)) {
      } catch (Throwable refused) {
        for (Throwable root = refused; root != null; root = root.getCause()) ended = root.toString().replace('\n', ' ');
      }
      System.out.println(ended);
      System.out.flush();
    }
  }
}

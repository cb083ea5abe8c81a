// The programme of tedious. See programme.hpp for what it is told and what it prints. SQL_MODE: "encrypt=false", "encrypt=true", "encrypt=strict".
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const { Connection, Request, TYPES } = require('tedious');

const told = process.env;
const mode = told.SQL_MODE.split('=')[1];
setTimeout(() => { console.log('timed out'); process.exit(3); }, 120000).unref(); // whatever hangs, hangs no longer

const say = (step, text) => console.log(`step ${step}: ${text}`);

function configuration(step) {
  const authentication = { type: told.SQL_AUTH === 'ntlm' ? 'ntlm' : 'default', options: { userName: told.SQL_USER, password: told.SQL_PASSWORD } };
  if (told.SQL_AUTH === 'ntlm') authentication.options.domain = 'CORP';
  return {
    server: told.SQL_HOST,
    authentication,
    options: {
      port: Number(told.SQL_PORT), database: 'reports', appName: `${told.SQL_APP}+${step}`, encrypt: mode === 'strict' ? 'strict' : mode === 'true',
      trustServerCertificate: true, connectTimeout: 60000, requestTimeout: 60000, serverName: mode === 'strict' ? told.SQL_CERTIFICATE_NAME : undefined,
      cryptoCredentialsDetails: mode === 'strict' ? { ca: fs.readFileSync(told.SQL_CA) } : {}, // TDS 8.0 trusts nobody blindly
    },
  };
}

const open = step => new Promise((resolve, reject) => {
  const connection = new Connection(configuration(step));
  connection.on('error', () => {});
  connection.connect(problem => problem ? reject(problem) : resolve(connection));
});
const close = connection => new Promise(resolve => { connection.once('end', resolve); connection.close(); });

// One request: its rows as arrays of columns. `how` is a method of Connection; `prepare` adds parameters.
function ask(connection, sql, how = 'execSqlBatch', prepare = () => {}, each = null) {
  return new Promise((resolve, reject) => {
    const rows = [];
    const request = new Request(sql, problem => problem ? reject(problem) : resolve(rows));
    request.on('row', columns => each ? each(columns, request) : rows.push(columns));
    prepare(request);
    connection[how](request);
  });
}

const shown = value => value === null || value === undefined ? 'NULL' : Buffer.isBuffer(value) ? `Buffer ${value.toString('hex')}`
  : value instanceof Date ? `Date ${value.toISOString()}` : `${typeof value} ${value}`;
const print = (step, rows) => rows.forEach(row => say(step, row.map(column => `${column.metadata.colName}=${shown(column.value)}`).join(', ')));
const alive = async (step, connection) => print(step, await ask(connection, "select 'alive' as a"));
const words = problem => String(problem.message || problem).replace(/\n/g, ' ');

const steps = {
  async connect(step) {
    const connection = await open(step);
    const [facts] = await ask(connection, 'select app_name(), host_name(), @@language, db_name(), host_process_id from sys.dm_exec_sessions where session_id=@@spid');
    facts.slice(0, 4).forEach(fact => say(step, fact.value));
    say(step, 'process id: ' + (Number(facts[4].value) === process.pid ? 'own' : "of the driver's making"));
    print(step, await ask(connection, 'select net_packet_size from sys.dm_exec_connections where session_id=@@spid'));
    await close(connection);
  },

  async results(step) {
    const connection = await open(step);
    print(step, await ask(connection, "select 1 as a, 'one' as b select 'two' as c"));
    await close(connection);
  },

  // Each column is read, and its value sent back as a parameter of that column's type.
  async types(step) {
    const connection = await open(step);
    for (const call of ['exec lab_types', 'exec lab_types 1']) {
      const [columns] = await ask(connection, call);
      for (const column of columns) {
        const type = column.metadata.type.name;
        say(step, `${column.metadata.colName} ${type} ${column.metadata.dataLength} ${column.metadata.precision} ${column.metadata.scale} ${shown(column.value)}`);
      }
      for (const [number, column] of columns.entries()) {
        // "IntN" and the like are types of columns alone; by length they are one of the others.
        const names = { IntN: { 1: 'TinyInt', 2: 'SmallInt', 4: 'Int', 8: 'BigInt' }, BitN: { 1: 'Bit' }, FloatN: { 4: 'Real', 8: 'Float' }, MoneyN: { 4: 'SmallMoney', 8: 'Money' },
          DateTimeN: { 4: 'SmallDateTime', 8: 'DateTime' }, DecimalN: null, NumericN: null };
        const name = column.metadata.type.name;
        const type = name === 'DecimalN' ? TYPES.Decimal : name === 'NumericN' ? TYPES.Numeric : names[name] ? TYPES[names[name][column.metadata.dataLength]] : TYPES[name];
        // Of a number that JavaScript cannot hold exactly, tedious cannot write the bytes (and hangs): a smaller one goes in its place.
        const exact = typeof column.value !== 'number' || /Float|Int/.test(name) || Math.abs(column.value) * 10 ** (column.metadata.scale || 4) <= Number.MAX_SAFE_INTEGER;
        const value = exact ? column.value : 0.5;
        try {
          if (!type) throw new Error(`tedious sends no ${name}`);
          const options = { length: column.metadata.dataLength === 65535 ? Infinity : undefined, precision: column.metadata.precision, scale: column.metadata.scale };
          const [[back]] = await ask(connection, 'lab_echo', 'callProcedure', request => request.addParameter('value', type, value, options));
          say(step, `sent ${number + 1} ${back.metadata.type.name} ${shown(back.value)}`);
        } catch (refused) {
          say(step, `sent ${number + 1} refused: ${words(refused)}`);
        }
      }
    }
    await close(connection);
  },

  async parameters(step) {
    const connection = await open(step);
    print(step, await ask(connection, 'select @a as a, @b as b, @c as c', 'execSql', request => {
      request.addParameter('a', TYPES.Int, 42);
      request.addParameter('b', TYPES.NVarChar, 'Zo\u00eb \u2603');
      request.addParameter('c', TYPES.VarChar, null);
    }));
    await close(connection);
  },

  async prepared(step) {
    const connection = await open(step);
    let done;
    const request = new Request('select @a as a', problem => done(problem));
    request.addParameter('a', TYPES.Int);
    const rows = [];
    request.on('row', columns => rows.push(columns));
    const finished = start => new Promise((resolve, reject) => { done = problem => problem ? reject(problem) : resolve(); start(); });
    await new Promise((resolve, reject) => { request.on('prepared', resolve); done = problem => problem && reject(problem); connection.prepare(request); });
    for (const value of [1, 2, 3, -4]) await finished(() => connection.execute(request, { a: value }));
    print(step, rows);
    await finished(() => connection.unprepare(request));
    await close(connection);
  },

  transaction: step => transaction(step, 'commitTransaction'),
  rollback: step => transaction(step, 'rollbackTransaction'),

  async error(step) {
    const connection = await open(step);
    try {
      await ask(connection, "exec lab_error 50123, 16, 'what the server says'");
      say(step, 'no error');
    } catch (refused) {
      say(step, `${words(refused)} ${refused.number} ${refused.state} ${refused.class} ${refused.serverName} ${refused.lineNumber}`);
    }
    await alive(step, connection);
    await close(connection);
  },

  async warning(step) {
    const connection = await open(step);
    connection.on('infoMessage', info => say(step, `${info.message} ${info.number} ${info.state} ${info.class}`));
    await ask(connection, "print 'a word of warning'");
    await close(connection);
  },

  async 'large-result'(step) {
    const connection = await open(step);
    const digest = crypto.createHash('sha256');
    let rows = 0;
    await ask(connection, 'exec lab_rows 2600, 8000', 'execSqlBatch', () => {}, columns => { ++rows; digest.update(`${columns[0].value}${columns[1].value}`); });
    say(step, `${rows} rows, ${digest.digest('hex')}`);
    await close(connection);
  },

  async 'large-parameter'(step) {
    const connection = await open(step);
    const sent = Buffer.alloc(5000000, 'What is long is sent in many packets. ');
    const [[back]] = await ask(connection, 'lab_echo', 'callProcedure', request => request.addParameter('value', TYPES.VarBinary, sent, { length: Infinity }));
    say(step, `${back.value.length} bytes, ${sent.equals(back.value) ? 'the same' : 'others'}`);
    await close(connection);
  },

  async 'bulk-copy'(step) {
    const connection = await open(step);
    await ask(connection, 'create table #b (n int, s varchar(20))');
    const count = await new Promise((resolve, reject) => {
      const bulk = connection.newBulkLoad('#b', (problem, rows) => problem ? reject(problem) : resolve(rows));
      bulk.addColumn('n', TYPES.Int, { nullable: true });
      bulk.addColumn('s', TYPES.VarChar, { length: 20, nullable: true });
      connection.execBulkLoad(bulk, Array.from({ length: 1000 }, (_, n) => ({ n, s: `row ${n}` })));
    });
    say(step, `${count} copied`);
    print(step, await ask(connection, 'select count(*) as n from #b'));
    const digest = crypto.createHash('sha256');
    await ask(connection, 'select n, s from #b', 'execSqlBatch', () => {}, columns => digest.update(`${columns[0].value}${columns[1].value}`));
    say(step, digest.digest('hex'));
    await close(connection);
  },

  async cancel(step) {
    const connection = await open(step);
    let rows = 0;
    try {
      await ask(connection, 'exec lab_rows 200000, 8000', 'execSqlBatch', () => {}, () => { if (++rows === 10) connection.cancel(); });
      say(step, 'not cut short');
    } catch (cancelled) {
      say(step, `${cancelled.code} ${words(cancelled)}`);
    }
    await alive(step, connection);
    await close(connection);
  },

  async 'pool-reset'(step) {
    const connection = await open(step);
    for (let use = 1; use <= 3; ++use) {
      print(step, await ask(connection, `select @@trancount, 'use ${use}'`));
      await new Promise((resolve, reject) => connection.reset(problem => problem ? reject(problem) : resolve()));
    }
    await close(connection);
  },

  // All are connected before the first asks anything.
  async fifty(step) {
    const connections = await Promise.all(Array.from({ length: 50 }, () => open(step)));
    const answers = await Promise.all(connections.map((connection, number) => ask(connection, `select ${number}`)));
    answers.forEach(([[column]]) => say(step, column.value));
    await Promise.all(connections.map(close));
  },

  async disconnect(step) {
    const connection = await open(step);
    let rows = 0;
    await new Promise(resolve => {
      connection.once('end', resolve);
      ask(connection, 'exec lab_rows 200000, 8000', 'execSqlBatch', () => {}, () => { if (++rows === 10) connection.close(); }).catch(() => {});
    });
    say(step, 'closed');
    const next = await open(step);
    await alive(step, next);
    await close(next);
  },
};

async function transaction(step, end) {
  const connection = await open(step);
  const call = method => new Promise((resolve, reject) => connection[method](problem => problem ? reject(problem) : resolve()));
  await ask(connection, 'create table #t (i int, s varchar(20))');
  await call('beginTransaction');
  await ask(connection, "insert into #t values (1, 'one')");
  print(step, await ask(connection, 'select count(*) as n from #t'));
  await call(end);
  print(step, await ask(connection, 'select count(*) as n from #t'));
  print(step, await ask(connection, 'select @@trancount as n'));
  await close(connection);
}

(async () => {
  let failed = 0;
  for (const [name, run] of Object.entries(steps)) {
    if (told.SQL_ONLY && told.SQL_ONLY !== name) continue;
    try {
      await run(name);
    } catch (problem) {
      failed = 1;
      say(name, `failed: ${words(problem)}`);
      if (!told.SQL_ONLY) console.log(problem.stack);
    }
  }
  process.exit(failed);
})();

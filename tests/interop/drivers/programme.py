#!/usr/bin/python3
"""The programme of pyodbc, over FreeTDS's ODBC driver. See programme.hpp for what it is told and what it prints.

SQL_MODE: "VERSION ENCRYPTION" or "VERSION ENCRYPTION MARS".
"""
import hashlib
import os
import random
import signal
import sys
import threading
import traceback

import pyodbc

signal.alarm(15 if os.environ.get("SQL_ONLY") else 120)  # whatever hangs, hangs no longer
pyodbc.pooling = False
told = os.environ
mode = told["SQL_MODE"].split()
mars = "MARS" in mode
lock = threading.Lock()


def say(step, text):
    with lock:
        print(f"step {step}: {text}", flush=True)


def connect(step, autocommit=True):
    login = f"UID={told['SQL_USER']};PWD={told['SQL_PASSWORD']}"
    if told["SQL_AUTH"] == "kerberos":
        login = f"Trusted_Connection=yes;ServerSPN={told['SQL_SPN']}"
    if told["SQL_AUTH"] == "ntlm":
        login = f"UID=CORP\\{told['SQL_USER']};PWD={told['SQL_PASSWORD']}"
    return pyodbc.connect(
        f"DRIVER=FreeTDS;SERVER={told['SQL_HOST']};PORT={told['SQL_PORT']};DATABASE=reports;TDS_Version={mode[0]};Encryption={mode[1]};"
        f"APP={told['SQL_APP']}+{step};{login}" + (";MARS_Connection=yes" if mars else ""),
        autocommit=autocommit,
    )


def show(step, cursor):
    names = [column[0] for column in cursor.description]
    for row in cursor.fetchall():
        say(step, ", ".join(f"{name}={value!r}" for name, value in zip(names, row)))


def alive(step, connection):
    show(step, connection.cursor().execute("select 'alive' as a"))


def step_connect(step):
    connection = connect(step)
    cursor = connection.cursor()
    cursor.execute("select app_name(), host_name(), @@language, db_name(), host_process_id from sys.dm_exec_sessions where session_id=@@spid")
    *facts, pid = cursor.fetchone()
    for fact in facts:
        say(step, fact)
    say(step, "process id: " + ("own" if int(pid) == os.getpid() else "of the driver's making"))
    show(step, cursor.execute("select net_packet_size from sys.dm_exec_connections where session_id=@@spid"))
    connection.close()


def step_results(step):
    connection = connect(step)
    cursor = connection.cursor()
    cursor.execute("select 1 as a, 'one' as b select 'two' as c")
    show(step, cursor)
    while cursor.nextset():
        show(step, cursor)
    if mars:  # two results open at once, on two sessions
        one, two = connection.cursor(), connection.cursor()
        one.execute("exec lab_rows 2000, 100")
        first = one.fetchone()
        two.execute("exec lab_rows 3, 5")
        say(step, f"{first[0]} {len(two.fetchall())} {len(one.fetchall())}")
    connection.close()


def step_types(step):
    connection = connect(step)
    for unknown_to_pyodbc in (-155, -150):  # DATETIMEOFFSET, SQL_VARIANT
        connection.add_output_converter(unknown_to_pyodbc, bytes)
    for call in ("exec lab_types", "exec lab_types 1"):
        cursor = connection.cursor()
        cursor.execute(call)
        columns = cursor.description
        (values,) = cursor.fetchall()
        for column, value in zip(columns, values):
            say(step, f"{column[0]} {column[1].__name__} {column[3:6]} {value!r}")
        for number, value in enumerate(values, 1):
            try:
                echo = connection.cursor()
                echo.execute("{call lab_echo(?)}", value)
                say(step, f"sent {number} {echo.fetchall()[0][0]!r}")
            except pyodbc.Error as refused:
                say(step, f"sent {number} refused: {refused.args[1]}")
    connection.close()


def step_parameters(step):
    connection = connect(step)
    show(step, connection.cursor().execute("select ? as a, ? as b, ? as c", 42, "Zo\u00eb \u2603", None))
    connection.close()


def step_prepared(step):
    connection = connect(step)
    cursor = connection.cursor()
    for value in (1, 2, 3, -4):
        show(step, cursor.execute("select ? as a", value))
    connection.close()


def transaction(step, commit):
    connection = connect(step, autocommit=False)
    cursor = connection.cursor()
    cursor.execute("create table #t (i int, s varchar(20))")
    connection.commit()
    cursor.execute("insert into #t values (1, 'one')")
    say(step, f"inserted {cursor.rowcount}")
    show(step, cursor.execute("select count(*) as n from #t"))
    connection.commit() if commit else connection.rollback()
    show(step, cursor.execute("select count(*) as n from #t"))
    connection.close()


def step_transaction(step):
    transaction(step, True)


def step_rollback(step):
    transaction(step, False)


def step_error(step):
    connection = connect(step)
    try:
        connection.cursor().execute("exec lab_error 50123, 16, 'what the server says'")
        say(step, "no error")
    except pyodbc.Error as refused:
        say(step, f"{type(refused).__name__} {refused.args}")
    alive(step, connection)
    connection.close()


def step_warning(step):
    connection = connect(step)
    cursor = connection.cursor()
    cursor.execute("print 'a word of warning'")
    say(step, getattr(cursor, "messages", "pyodbc 4.0.34 keeps no messages; the batch succeeds"))
    alive(step, connection)
    connection.close()


def step_large_result(step):
    connection = connect(step)
    digest = hashlib.sha256()
    rows = 0
    for number, text in connection.cursor().execute("exec lab_rows 2600, 8000"):
        digest.update(f"{number}{text}".encode())
        rows += 1
    say(step, f"{rows} rows, {digest.hexdigest()}")
    connection.close()


def step_large_parameter(step):
    connection = connect(step)
    sent = random.Random(5).randbytes(5_000_000)
    cursor = connection.cursor()
    cursor.execute("select ? as a", sent)  # in a {call} FreeTDS sends none that is longer than 8,000 bytes
    back = cursor.fetchone()[0]
    say(step, f"{len(back)} bytes, {'the same' if bytes(back) == sent else 'others'}")
    connection.close()


def step_cancel(step):
    connection = connect(step)
    cursor = connection.cursor()
    cursor.execute("exec lab_rows 200000, 8000")
    for _ in range(10):
        cursor.fetchone()
    cursor.cancel()
    say(step, "cancelled")
    cursor.close()
    alive(step, connection)
    connection.close()


def step_fifty(step):
    connect(step).close()  # pyodbc asks the first connection of a kind about types, and then knows
    every = threading.Barrier(50, timeout=60)
    answers = []

    def one(number):
        try:
            connection = connect(step)
            every.wait()
            answers.append(connection.cursor().execute(f"select {number} as n").fetchone()[0])
            connection.close()
        except Exception as problem:
            answers.append(f"failed: {problem}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in sorted(map(str, answers)):
        say(step, answer)


def step_disconnect(step):
    connection = connect(step)
    cursor = connection.cursor()
    cursor.execute("exec lab_rows 200000, 8000")
    say(step, f"row {cursor.fetchone()[0]}")
    connection.close()
    connection = connect(step)
    alive(step, connection)
    connection.close()


steps = [connect_ for name, connect_ in list(globals().items()) if name.startswith("step_")]
failed = 0
for run in steps:
    name = run.__name__.removeprefix("step_").replace("_", "-")
    if told.get("SQL_ONLY", name) not in ("", name):
        continue
    try:
        run(name)
    except Exception as problem:
        failed = 1
        say(name, f"failed: {problem}")
        traceback.print_exc(file=sys.stdout)
if not told.get("SQL_ONLY"):
    say("bulk-copy", "- pyodbc has no bulk copy over FreeTDS")
    say("pool-reset", "- unixODBC's pool resets no FreeTDS connection")
sys.exit(failed)

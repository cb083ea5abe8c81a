#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/config/load_test.cpp"

SEEDS(config) {
  for (const auto &row : rows)
    fuzz::seed("config", std::string_view(row.text));
  // What holds between tables, all of it at once: each row above has one thing of it.
  fuzz::seed("config", R"([[listener]]
name = "a"
address = "127.0.0.1:1"
client_auth = "integrated"
callers = [1]
[[listener]]
name = "b"
unix = "s"
[[listener]]
name = "c"
address = "[::1]:2"
[browser]
address = "127.0.0.1"
instances = { A = "a", a = "a", B = "b", C = "c", "x y" = "a", D = "d", E = 1 }
[[identity]]
name = "i"
from = "client"
allow = [1]
[[identity]]
name = "k"
keytab = "k"
principal = "k@K"
allow = [2]
[[route]]
name = "1"
match = { listener = "a", app = "1" }
target = "t"
attempts = ["tcp+sql"]
[[route]]
name = "2"
match = { listener = "a", app = "2" }
target = "t"
identity = "i"
[[route]]
name = "3"
match = { listener = "a", app = "3", caller = [3] }
target = "t"
identity = "k"
[[route]]
name = "4"
match = { listener = "a", app = "*4" }
target = "t"
identity = "k"
[[route]]
name = "5"
match = { listener = "a", app = "*4" }
target = "t"
identity = "k"
)");
  // Values alone, which the target parses too.
  for (const std::string_view text : {"5s",           "400ms",
                                      "2m",           "1h",
                                      "169h",         "1.5s",
                                      "-1s",          "127.0.0.1:1433",
                                      "[::1]:14330",  "localhost:1433",
                                      "::1",          "16.0.600",
                                      "16.0.600.1",   "1.2.3.4.5",
                                      "0660",         "07777",
                                      "0444",         "MSSQLSvc/sql1.corp.test:1433@CORP.TEST",
                                      "mssqlsvc/x",   "MSSQLSvc/x:INST",
                                      "MSSQLSvc/x:",  "svc@CORP.TEST",
                                      "DOMAIN\\user", "a*b?cXaYYbZc",
                                      "****a"})
    fuzz::seed("config", text);
}

SEEDS(resolv_conf) {
  for (const std::string_view text :
       {"# made by hand\nnameserver 10.0.0.2\nnameserver ::1  # trailing\nsearch corp.test. lab.corp.test\n"
        "options timeout:1 ndots:3 rotate\n",
        "search a.test b.test\ndomain c.test\n", "",
        "nameserver\nnonsense\noptions ndots:x ndots:99\nsearch .\n", "nameserver 10.0.0.2:5353\n"})
    fuzz::seed("resolv_conf", text);
}

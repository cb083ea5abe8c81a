// freetds.conf, which belongs to another program (auth/freetds_conf.hpp).
#include "auth/freetds_conf.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(freetds_conf, 4096) {
  // The first line is the name that is looked for, a byte 1 ends a file.
  const auto all = fuzz::text_of(input);
  const auto line = all.substr(0, all.find('\n'));
  std::vector<std::string> texts(1);
  for (const char c : all.substr(line.size()))
    if (c != '\1')
      texts.back() += c;
    else if (texts.size() < 4)
      texts.emplace_back();
  // Each option holds copies of one line at most; the server holds six values of one line each.
  const auto server = fuzz::within(16384, [&] { return auth::find_freetds_server(texts, line); });
  if (!server) return;
  fuzz::require(server->file < texts.size(), "the section is in one of the files");
  for (const auto *value :
       {&server->host, &server->instance, &server->tds_version, &server->server_spn, &server->realm}) {
    fuzz::require(value->size() <= 255, "a value is part of a line");
    fuzz::require(value->find_first_of("\n#;") == std::string::npos,
                  "a value ends with the line, or at a comment");
  }
  fuzz::require(server->target().starts_with(server->host), "the target begins with the host");
  fuzz::require(auth::freetds_conf_files({server->host, server->realm, server->instance}).size() >= 1,
                "the system's file is always looked at");
}

#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/shim/log/render_test.cpp"

SEEDS(decision_log) {
  for (const auto &golden : goldens)
    fuzz::seed("decision_log", std::string_view(to_json(record_of(golden.event))));
  for (const auto &text : outside)
    fuzz::seed("decision_log", std::string_view(to_json(record_of(Warned{text.raw}))));
  for (const std::string_view line :
       {"2026-11-22T09:52:00.123456Z", "2024-02-29T23:59:59Z", "[]", "{}", R"({"v":2})", R"({"v":"1"})",
        R"({"v":1,"at":"yesterday","event":"warned","data":{}})",
        R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"drained","data":{"waited_ms":1.5}})",
        R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"plan.made","data":{"attempts":["a",1]}})"})
    fuzz::seed("decision_log", line);
  for (const std::size_t size : {1025, 5000})
    fuzz::seed("decision_log", std::string_view(std::string(size, 'x')));
  std::string list = R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"plan.made","data":{"attempts":["a")";
  for (int i = 0; i < 70; ++i)
    list += R"(,"a")";
  fuzz::seed("decision_log", std::string_view(list + "]}}"));
}

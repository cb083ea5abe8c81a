#include "tools/lab/peer.hpp"
#include <fmt/format.h>
#include <cstring>
int main(int n, char**v) try { if (n==4 && !strcmp(v[1],"peer")) return lab::run_peer(v[3]); return 2; } catch (const std::exception &e) { fmt::print(stderr, "{}\n", e.what()); return 2; }

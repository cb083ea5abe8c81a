// Malformed conversations: logins and login replies that no honest client or server sends, made from honest
// ones by a seed. Pure; malformed_test.cpp plays them.
#pragma once

#include "tds/connect_login.hpp"

#include <chrono>
#include <optional>
#include <random>
#include <string_view>
#include <variant>
#include <vector>

namespace test {

/// One step of whoever misbehaves.
struct Sends {
  tds::Bytes bytes;
};
struct Awaits {}; ///< one whole message of the partner, or the end
struct Drips {    ///< byte by byte, with this pause between
  tds::Bytes bytes;
  std::chrono::milliseconds pause{};
};
using Act = std::variant<Sends, Awaits, Drips>;

/// How it leaves: waits for the partner to end the connection; says that nothing more comes and
/// waits; or is gone with a reset.
enum class Leave { waits, half_closes, resets };

struct Conversation {
  std::string_view kind; ///< of the list of classes
  std::vector<Act> acts;
  Leave leave = Leave::waits;
};

/// Choices that a seed decides.
class Random {
public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : engine_() % limit; }
  std::size_t between(std::size_t least, std::size_t most) { return least + below(most - least + 1); }
  bool one_in(std::size_t count) { return below(count) == 0; }
  std::uint8_t byte() { return static_cast<std::uint8_t>(engine_()); }
  tds::Bytes bytes(std::size_t size);
  template <class T, std::size_t N> const T &of(const T (&choices)[N]) { return choices[below(N)]; }

private:
  std::mt19937_64 engine_;
};

/// What an honest client sends, as payloads.
struct HonestLogin {
  std::optional<tds::Bytes> prelogin; ///< none before TDS 7.1
  tds::Bytes login7;
};

/// Every class of one leg, in the order in which runs take them.
std::vector<std::string_view> client_classes();
std::vector<std::string_view> server_classes();

/// What a malformed client does: class `run` modulo their number, its details by `random`.
Conversation malformed_client(std::size_t run, const HonestLogin &honest, Random &random);
/// What a malformed server does to an honest client that asks for TDS 7.4.
Conversation malformed_server(std::size_t run, Random &random);

} // namespace test

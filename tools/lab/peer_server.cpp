#include "tools/lab/peer_server.hpp"

#include "tools/lab/acceptor.hpp"
#include "tools/lab/answers.hpp"
#include "tools/lab/channel.hpp"
#include "tools/lab/login_reply.hpp"
#include "tools/lab/rowset.hpp"

#include "tds/accept_login.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

using nlohmann::json;
using shim::Task;

constexpr tds::ServerVersion shown_version{16, 0, 1000, 0};
constexpr std::size_t largest_request = 64 * 1024 * 1024;
constexpr auto linger = shim::Millis(2000); ///< how long a client may take to read the last reply
constexpr int most_sspi_rounds = 16;
constexpr std::uint8_t env_reset_ack[] = {0xE3, 0x03, 0x00, 0x12, 0x00, 0x00}; // ENVCHANGE 18, no values

// ------------------------------------------------------------------------------------------------------- facts as JSON

json describe(const tds::Login7 &login) {
  json features = json::array();
  for (const auto &feature : login.features)
    features.push_back({{"id", static_cast<int>(feature.id)}, {"size", feature.data.size()}});
  return {{"tds_version", login.tds_version.text()},
          {"packet_size", login.packet_size},
          {"pid", login.client_pid},
          {"host", tds::to_utf8(login.host_name)},
          {"user", tds::to_utf8(login.user_name)},
          {"password_sent", !login.password.empty()},
          {"app", tds::to_utf8(login.app_name)},
          {"server", tds::to_utf8(login.server_name)},
          {"interface", tds::to_utf8(login.clt_int_name)},
          {"language", tds::to_utf8(login.language)},
          {"database", tds::to_utf8(login.database)},
          {"option_flags", {login.option_flags1, login.option_flags2, login.option_flags3}},
          {"type_flags", login.type_flags},
          {"integrated", login.integrated_security()},
          {"sspi_size", login.sspi.size()},
          {"lcid", login.client_lcid},
          {"features", features}};
}

json describe(const tds::Prelogin &asked, const tds::Prelogin &answered) {
  return {{"asked", tds::describe(asked)}, {"answered", tds::describe(answered)}};
}

// ---------------------------------------------------------------------------------------------------------- connection

/// One client, from accept to close. It keeps itself alive while any of its coroutines runs.
class Connection : public std::enable_shared_from_this<Connection> {
public:
  Connection(TcpSocket socket, std::shared_ptr<const PeerOptions> options, int number)
      : executor_(socket.get_executor()), options_(std::move(options)), recorder_(options_->records, number),
        wire_(std::move(socket), recorder_), main_(std::make_shared<Channel>(wire_, executor_)),
        spid_(static_cast<std::uint16_t>(51 + number % 30000)) {
    record_ends(number);
  }

  void start() {
    asio::co_spawn(executor_, [self = shared_from_this()] { return self->read(); }, asio::detached);
    asio::co_spawn(executor_, [self = shared_from_this()] { return self->live(); }, asio::detached);
  }
  void close() { wire_.close(); }

private:
  void record_ends(int number) {
    boost::system::error_code gone;
    const auto client = wire_.socket().remote_endpoint(gone);
    const auto server = wire_.socket().local_endpoint(gone);
    client_address_ = client.address().to_string();
    client_port_ = client.port();
    local_address_ = server.address().to_string();
    local_port_ = server.port();
    recorder_.facts({{"connection", number},
                     {"client_address", client_address_},
                     {"client_port", client_port_},
                     {"server_address", local_address_},
                     {"server_port", local_port_},
                     {"spid", spid_},
                     {"state", "accepted"}});
  }

  // -- reading

  Task<> read() {
    try {
      for (auto bytes = co_await wire_.read(); !bytes.empty(); bytes = co_await wire_.read()) {
        if (mars_ && logged_in_)
          take_smp(bytes);
        else
          main_->feed(bytes);
      }
    } catch (const ConnectionEnded &why) {
      recorder_.fact("error", why.what());
    }
    main_->end();
    for (const auto &[sid, channel] : sessions_)
      channel->end();
  }

  /// Frames of MARS sessions; each SYN opens one, served by a coroutine of its own.
  void take_smp(tds::ByteView bytes) {
    smp_.insert(smp_.end(), bytes.begin(), bytes.end());
    std::size_t used = 0;
    while (smp_.size() - used >= SmpHeader::size) {
      const auto rest = tds::ByteView(smp_).subspan(used);
      const auto header = decode_smp(rest.first(SmpHeader::size));
      if (!header) throw ConnectionEnded("a MARS connection sent something else than SMP");
      if (rest.size() < header->length) break;
      take_frame(*header, rest.first(header->length).subspan(SmpHeader::size));
      used += header->length;
    }
    smp_.erase(smp_.begin(), smp_.begin() + static_cast<std::ptrdiff_t>(used));
  }

  void take_frame(const SmpHeader &header, tds::ByteView data) {
    if (header.flags & SmpHeader::syn) {
      if (sessions_.size() >= 256) throw ConnectionEnded("too many MARS sessions");
      auto channel = std::make_shared<Channel>(wire_, executor_, header.sid);
      channel->limit(largest_request);
      channel->window(header.window);
      sessions_[header.sid] = channel;
      recorder_.fact("mars_sessions", ++mars_sessions_);
      asio::co_spawn(
          executor_, [self = shared_from_this(), channel] { return self->serve_mars(channel); }, asio::detached);
      return;
    }
    const auto session = sessions_.find(header.sid);
    if (session == sessions_.end()) throw ConnectionEnded("an SMP frame for a session that was not opened");
    session->second->window(header.window);
    if (header.flags & SmpHeader::data) session->second->feed(data);
    if (header.flags & SmpHeader::fin) session->second->end();
  }

  // -- the story

  Task<> live() {
    const auto self = shared_from_this(); // the frame outlives the lambda that made it
    try {
      co_await at(Moment::accepted);
      if (options_->early_garbage) co_await send_text("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      if (auto session = co_await login()) {
        logged_in_ = true;
        main_->limit(largest_request);
        session_ = *session;
        if (mars_)
          co_await until_gone();
        else
          co_await serve(*main_, *session);
      }
    } catch (const ConnectionEnded &why) {
      recorder_.fact("error", why.what());
    } catch (const std::exception &why) {
      recorder_.fact("error", std::string("the peer failed: ") + why.what());
    }
    // Close only when the client has read the last reply: closing earlier, with its bytes unread, would reset the connection.
    wire_.shutdown();
    if (!main_->ended()) co_await main_->wait(linger);
    wire_.close();
    recorder_.facts({{"state", "closed"}, {"requests", requests_}, {"bytes_received", wire_.bytes_read()}});
  }

  Task<> until_gone() {
    while (!main_->ended())
      co_await main_->wait(shim::Millis(0));
  }

  /// Does what the options ask for at this moment.
  Task<> at(Moment moment) {
    if (options_->hang_at == moment) {
      recorder_.fact("state", "hanging");
      co_await until_gone();
      throw ConnectionEnded("the client went away while the peer said nothing, as told");
    }
    if (options_->close_at == moment) {
      wire_.close();
      throw ConnectionEnded("closed, as told");
    }
  }

  Task<> send_text(std::string_view text) {
    co_await main_->send_raw({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()});
  }

  /// A whole message in packets of the login phase.
  Task<> send(tds::ByteView payload, std::size_t packet_size = tds::login_packet_size) {
    ReplyStream reply(*main_, packet_size, spid_);
    co_await reply.write(payload);
    co_await reply.finish();
  }

  Task<tds::Message> expect(std::initializer_list<tds::PacketType> types) {
    auto incoming = co_await main_->next();
    if (!incoming) throw ConnectionEnded("the client closed before its login was complete");
    if (std::ranges::find(types, incoming->message.type) == types.end())
      throw ConnectionEnded(fmt::format("a message of type 0x{:02X} does not belong into a login",
                                        static_cast<int>(incoming->message.type)));
    co_return std::move(incoming->message);
  }

  // -- login

  Task<std::optional<Session>> login() {
    auto message = co_await expect({tds::PacketType::prelogin, tds::PacketType::login7});
    if (message.type == tds::PacketType::prelogin) {
      co_await answer_prelogin(message.payload);
      message = co_await expect({tds::PacketType::login7});
    }
    auto decoded = tds::decode_login7(message.payload);
    if (!decoded) throw ConnectionEnded(decoded.error().text());
    const auto &login = *decoded;
    recorder_.facts(
        {{"state", "login"}, {"login7", describe(login)}, {"mechanism", tds::to_string(tds::recognise(login.sspi))}});
    co_await at(Moment::login);
    if (options_->login_delay.count() > 0 && !main_->ended()) co_await main_->wait(options_->login_delay);

    auto session = open_session(login, *options_);
    session.spid = spid_;
    session.client_address = client_address_;
    session.client_port = client_port_;
    session.local_address = local_address_;
    session.local_port = local_port_;
    auto refusal = login.integrated_security() ? co_await authenticate(login, session) : check_password(login, session);
    if (refusal.empty()) refusal = authorize(session);
    if (refusal.empty() && options_->login_error) refusal = login_failed(session, *options_->login_error);
    if (!refusal.empty()) {
      recorder_.fact("outcome", "refused");
      co_await send(refusal);
      co_return std::nullopt;
    }
    recorder_.facts({{"state", "logged_in"},
                     {"outcome", "accepted"},
                     {"login", session.login},
                     {"auth_scheme", session.auth_scheme},
                     {"database", session.database}});
    co_await send(login_accepted(session, login, *options_));
    co_return session;
  }

  Task<> answer_prelogin(tds::ByteView payload) {
    const auto asked = tds::decode_prelogin(payload);
    if (!asked) throw ConnectionEnded(asked.error().text());
    auto answer = tds::answer_prelogin(*asked, shown_version);
    if (answer.has(tds::PreloginToken::encryption)) answer.set_encryption(options_->encryption);
    if (answer.has(tds::PreloginToken::mars) && options_->refuse_mars) answer.set_mars(false);
    mars_ = answer.mars();
    recorder_.facts({{"state", "prelogin"}, {"prelogin", describe(*asked, answer)}});
    co_await at(Moment::prelogin);
    co_await send(tds::encode_prelogin(answer));
    co_await at(Moment::prelogin_answered);
  }

  /// Empty, or the refusal.
  tds::Bytes check_password(const tds::Login7 &login, Session &session) {
    session.login = tds::to_utf8(login.user_name);
    session.auth_scheme = "SQL";
    const auto known = options_->logins.find(session.login);
    tds::Writer expected;
    if (known != options_->logins.end()) expected.utf16(tds::to_utf16(known->second));
    if (known != options_->logins.end() && std::ranges::equal(expected.bytes(), login.password.reveal())) return {};
    return login_denied(session, session.login);
  }

  /// Integrated login: tokens to and fro. Empty, or the refusal; throws when the last token that went out was the refusal.
  Task<tds::Bytes> authenticate(const tds::Login7 &login, Session &session) {
    if (options_->login_error && options_->login_error->number == 18452)
      co_return login_failed(session, *options_->login_error);
    Acceptor acceptor({options_->keytab, options_->native_errors});
    json tokens = json::array();
    tds::Bytes token = login.sspi;
    for (int round = 0; round < most_sspi_rounds; ++round) {
      auto step = acceptor.accept(token);
      const bool failed = step.state == Acceptor::Step::State::failed;
      const bool send_token = !step.token.empty() && (failed || !options_->omit_sspi_token);
      tokens.push_back({{"received", token.size()}, {"sent", send_token ? step.token.size() : 0}});
      recorder_.facts({{"tokens", tokens},
                       {"flags", acceptor.flags()},
                       {"initiator", acceptor.initiator()},
                       {"spn", acceptor.spn()}});
      if (failed) recorder_.facts({{"outcome", "refused"}, {"krb_error", step.krb_error}, {"gss_error", step.text}});
      if (failed && step.token.empty()) co_return login_untrusted(session);
      if (send_token) {
        co_await send(tds::encode_tokens({tds::SspiToken{step.token}}, session.version));
        if (failed) throw ConnectionEnded("the client's ticket was rejected");
        co_await at(Moment::sspi_answered);
      }
      const bool proof_withheld = options_->omit_sspi_token && !step.token.empty();
      if (step.state == Acceptor::Step::State::complete || proof_withheld) {
        // LOGINACK follows in a message of its own, unasked: the client has nothing left to send.
        session.login = windows_name(acceptor.initiator(), *options_);
        session.auth_scheme = acceptor.scheme().empty() ? "KERBEROS" : acceptor.scheme();
        principal_ = acceptor.initiator();
        co_return tds::Bytes();
      }
      token = (co_await expect({tds::PacketType::sspi})).payload;
    }
    throw ConnectionEnded("too many rounds of SSPI tokens");
  }

  /// Authenticated: is there a login, and the database? Empty, or the refusal.
  tds::Bytes authorize(const Session &session) const {
    const auto holds = [](const auto &list, const std::string &name) {
      return std::ranges::find(list, name) != list.end();
    };
    if (!principal_.empty() && options_->principals && !holds(*options_->principals, principal_))
      return login_denied(session, session.login);
    const auto database = session.database.empty() ? std::string("master") : session.database;
    if (!holds(options_->databases, database)) return login_denied(session, session.login, database);
    return {};
  }

  // -- requests

  Task<> serve_mars(std::shared_ptr<Channel> channel) {
    const auto self = shared_from_this();
    Session session = session_;
    try {
      co_await serve(*channel, session);
      co_await wire_.write(encode_smp({.flags = SmpHeader::fin, .sid = *channel->sid()}));
    } catch (const std::exception &why) {
      recorder_.fact("error", why.what());
    }
    // A session id may be opened anew; by then another channel has its place.
    if (const auto place = sessions_.find(*channel->sid()); place != sessions_.end() && place->second == channel)
      sessions_.erase(place);
  }

  Task<> serve(Channel &channel, Session &session) {
    while (true) {
      auto incoming = co_await channel.next();
      if (!incoming && !channel.attention()) co_return;
      if (incoming) {
        ++requests_;
        co_await answer(channel, session, *incoming);
      }
      if (channel.attention()) { // in a message of its own, after the reply that it cut short
        channel.acknowledge_attention();
        co_await reply(channel, session, {answer_attention(session)});
      }
    }
  }

  Task<> answer(Channel &channel, Session &session, const Incoming &incoming) {
    const auto &payload = incoming.message.payload;
    Answer steps;
    switch (incoming.message.type) {
    case tds::PacketType::sql_batch:
      steps = answer_batch(payload, session);
      break;
    case tds::PacketType::rpc:
      steps = answer_rpc(payload, session);
      break;
    case tds::PacketType::transaction_manager:
      steps = answer_transaction(payload, session);
      break;
    case tds::PacketType::bulk:
      steps = {answer_bulk(session)};
      break;
    default:
      throw ConnectionEnded(
          fmt::format("a message of type 0x{:02X} after login", static_cast<int>(incoming.message.type)));
    }
    if (incoming.reset) {
      session.transactions = 0;
      steps.insert(steps.begin(), tds::Bytes(std::begin(env_reset_ack), std::end(env_reset_ack)));
    }
    co_await reply(channel, session, steps);
  }

  /// The steps of one reply, as far as no attention stops them.
  Task<> reply(Channel &channel, const Session &session, const Answer &steps) {
    ReplyStream out(channel, session.packet_size, session.spid);
    for (const auto &step : steps) {
      if (channel.ended()) throw ConnectionEnded("the client went away during a reply");
      if (const auto *bytes = std::get_if<tds::Bytes>(&step))
        co_await out.write(*bytes);
      else if (const auto *rows = std::get_if<GeneratedRows>(&step))
        co_await generate(channel, out, *rows);
      else
        co_await wait(channel, std::get<Wait>(step));
      if (channel.attention()) {
        co_await out.write(
            tds::encode_tokens({tds::Done{tds::DoneKind::done, tds::done_error, 0, 0}}, session.version));
        break;
      }
    }
    co_await out.finish();
  }

  Task<> generate(Channel &channel, ReplyStream &out, GeneratedRows rows) {
    constexpr std::size_t piece = 16 * 1024;
    tds::Writer some;
    for (std::uint64_t row = 0; row < rows.count && !channel.attention() && !channel.ended(); ++row) {
      append_generated_row(some, row + 1, rows.bytes);
      if (some.size() < piece && row + 1 < rows.count) continue;
      co_await out.write(std::exchange(some, tds::Writer()).bytes());
    }
  }

  Task<> wait(Channel &channel, Wait wait) {
    const auto started = std::chrono::steady_clock::now();
    while (!channel.attention() && !channel.ended() && std::chrono::steady_clock::now() - started < wait.time)
      co_await channel.wait(shim::left_of(wait.time, started));
  }

  shim::Executor executor_;
  std::shared_ptr<const PeerOptions> options_;
  Recorder recorder_;
  Wire wire_;
  std::shared_ptr<Channel> main_;
  std::map<std::uint16_t, std::shared_ptr<Channel>> sessions_; // of MARS, by SMP session id
  tds::Bytes smp_;                                             // of a frame that is not whole yet
  std::string client_address_, local_address_;
  std::uint16_t client_port_ = 0, local_port_ = 0;
  std::uint16_t spid_;
  std::string principal_; // who logged in by Kerberos
  Session session_;       // as it was at LOGINACK: what each MARS session begins with
  bool mars_ = false;
  bool logged_in_ = false;
  int mars_sessions_ = 0;
  std::uint64_t requests_ = 0;
};

} // namespace

struct PeerServer::Listener : std::enable_shared_from_this<PeerServer::Listener> {
  using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, shim::Executor>;

  Listener(shim::Executor executor, PeerOptions given)
      : acceptor(executor), options(std::make_shared<const PeerOptions>(std::move(given))) {
    const asio::ip::tcp::endpoint place(asio::ip::make_address(options->address), options->port);
    try {
      acceptor.open(place.protocol());
      acceptor.set_option(asio::socket_base::reuse_address(true));
      acceptor.bind(place);
      acceptor.listen();
    } catch (const boost::system::system_error &error) {
      throw LabError(
          fmt::format("the peer cannot listen on {}:{}: {}", options->address, options->port, error.code().message()));
    }
    if (!options->records.empty()) {
      fs::create_directories(options->records);
      next = Recorder::next_number(options->records);
    }
  }

  Task<> run() {
    const auto self = shared_from_this();
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(shim::as_result);
      if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
      if (error) continue;
      boost::system::error_code ignored;
      socket.set_option(asio::ip::tcp::no_delay(true), ignored);
      try {
        const auto connection = std::make_shared<Connection>(std::move(socket), options, next++);
        std::erase_if(connections, [](const auto &old) { return old.expired(); });
        connections.push_back(connection);
        connection->start();
      } catch (const std::exception &failure) {
        fmt::print(stderr, "peer: {}\n", failure.what());
      }
    }
  }

  Acceptor acceptor;
  std::shared_ptr<const PeerOptions> options;
  std::vector<std::weak_ptr<Connection>> connections;
  int next = 1;
};

PeerServer::PeerServer(shim::Executor executor, PeerOptions options)
    : listener_(std::make_shared<Listener>(executor, std::move(options))) {
  asio::co_spawn(executor, [listener = listener_] { return listener->run(); }, asio::detached);
}

PeerServer::~PeerServer() { stop(); }

std::uint16_t PeerServer::port() const { return listener_->acceptor.local_endpoint().port(); }

void PeerServer::stop() {
  boost::system::error_code gone;
  listener_->acceptor.close(gone);
  for (const auto &connection : listener_->connections)
    if (const auto open = connection.lock()) open->close();
}

} // namespace lab

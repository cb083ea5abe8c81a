#include "tools/lab/peer/peer_server.hpp"

#include "tools/lab/peer/channel.hpp"
#include "tools/lab/peer/peer_login.hpp"
#include "tools/lab/peer/pipe.hpp"
#include "tools/lab/peer/sql/answers.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

using namespace std::string_literals;
using shim::Task;

constexpr auto named_pipe = "Named pipe"; ///< of sys.dm_exec_connections
constexpr std::size_t largest_request = 64 * 1024 * 1024;
constexpr std::size_t piece = 16 * 1024;    ///< of what is generated: an attention is looked for between two
constexpr auto linger = shim::Millis(2000); ///< how long a client may take to read the last reply
constexpr auto pipe_greeting = shim::Millis(10'000);   ///< what smbd says of a pipe's user comes at once
constexpr auto longest_meeting = shim::Millis(60'000); ///< how long one waits at lab_meet for the others
constexpr std::uint8_t env_reset_ack[] = {0xE3, 0x03, 0x00, 0x12, 0x00, 0x00}; // ENVCHANGE 18, no values

// ----------------------------------------------------------------------------------------------------
// connection

/// Who waits at lab_meet, by application.
using Meetings = std::map<std::string, std::vector<Channel *>>;

/// One client, from accept to close. It keeps itself alive while any of its coroutines runs.
class Connection : public std::enable_shared_from_this<Connection> {
public:
  Connection(shim::Socket socket, Origin origin, std::shared_ptr<const PeerOptions> options,
             std::shared_ptr<const TlsContext> tls, std::shared_ptr<Tables> tables,
             std::shared_ptr<Meetings> meetings, int number)
      : executor_(socket.get_executor()), options_(std::move(options)), tls_(std::move(tls)),
        recorder_(options_->records, number), wire_(std::move(socket), recorder_),
        main_(std::make_shared<Channel>(wire_, executor_)),
        login_(*options_, tls_.get(), wire_, *main_, recorder_), meetings_(std::move(meetings)) {
    session_.tables = std::move(tables);
    session_.origin = std::move(origin);
    session_.spid = static_cast<std::uint16_t>(51 + number % 30000);
    record_origin(number);
  }
  void record(const PipeUser &user) {
    recorder_.fact(
        "pipe", {{"user", user.account}, {"domain", user.domain}, {"client_address", user.client_address}});
  }

  void start() {
    login_.begin(); // before the first byte is read
    asio::co_spawn(
        executor_, [self = shared_from_this()] { return self->read(); }, asio::detached);
    asio::co_spawn(
        executor_, [self = shared_from_this()] { return self->live(); }, asio::detached);
  }
  void close() { wire_.close(); }

private:
  void record_origin(int number) {
    const auto &origin = session_.origin;
    recorder_.facts({{"connection", number},
                     {"transport", origin.transport},
                     {"client_address", origin.client_address},
                     {"client_port", origin.client_port},
                     {"server_address", origin.local_address},
                     {"server_port", origin.local_port},
                     {"spid", session_.spid},
                     {"state", "accepted"}});
  }

  /// The first reason is the one that counts: others follow from it.
  void fail(const std::string &why) {
    if (!std::exchange(failed_, true)) recorder_.fact("error", why);
  }

  // -- reading

  Task<> read() {
    try {
      for (auto bytes = co_await wire_.read(); !bytes.empty(); bytes = co_await wire_.read()) {
        if (logged_in_ && login_.mars())
          co_await take_smp(bytes);
        else
          main_->feed(bytes);
      }
    } catch (const ConnectionEnded &why) {
      fail(why.what());
    }
    main_->end();
    for (const auto &[sid, channel] : sessions_)
      channel->end();
  }

  /// Frames of MARS sessions; each SYN opens one, served by a coroutine of its own.
  Task<> take_smp(tds::ByteView bytes) {
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
    const auto sessions = sessions_; // one may end while another is told
    for (const auto &[sid, channel] : sessions)
      co_await channel->acknowledge();
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
          executor_, [self = shared_from_this(), channel] { return self->serve_mars(channel); },
          asio::detached);
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
      co_await login_.at(Moment::accepted);
      if (options_->early_garbage)
        co_await send_text("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      if (auto session = co_await login_.run(session_)) {
        logged_in_ = true;
        main_->limit(largest_request);
        session_ = *session;
        if (login_.mars())
          co_await main_->until_ended();
        else
          co_await serve(*main_, *session);
      }
    } catch (const ConnectionEnded &why) {
      fail(why.what());
    } catch (const std::exception &why) {
      fail(std::string("the peer failed: ") + why.what());
    }
    // Close only when the client has read the last reply: closing earlier, with its bytes unread,
    // would reset the connection.
    wire_.shutdown();
    if (!main_->ended()) co_await main_->wait(linger);
    wire_.close();
    recorder_.facts({{"state", "closed"}, {"requests", requests_}, {"bytes_received", wire_.bytes_read()}});
  }

  Task<> send_text(std::string_view text) {
    co_await main_->send_raw({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()});
  }

  // -- requests

  Task<> serve_mars(std::shared_ptr<Channel> channel) {
    const auto self = shared_from_this();
    Session session = session_;
    try {
      co_await serve(*channel, session);
      co_await wire_.write(encode_smp({.flags = SmpHeader::fin, .sid = *channel->sid()}));
    } catch (const std::exception &why) {
      fail(why.what());
    }
    // A session id may be opened anew; by then another channel has its place.
    if (const auto place = sessions_.find(*channel->sid());
        place != sessions_.end() && place->second == channel)
      sessions_.erase(place);
  }

  Task<> serve(Channel &channel, Session &session) {
    while (true) {
      auto incoming = co_await channel.next();
      if (!incoming && !channel.attention()) co_return undo_all(session);
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

  /// What a client leaves open when it goes was never committed.
  static void undo_all(Session &session) {
    if (session.transactions > 0) undo(session, "");
  }

  Task<> answer(Channel &channel, Session &session, const Incoming &incoming) {
    const auto &payload = incoming.message.payload;
    if (incoming.reset) reset(session, incoming.keep_transaction);
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
      steps = answer_bulk(payload, session);
      break;
    default:
      throw ConnectionEnded(
          fmt::format("a message of type 0x{:02X} after login", static_cast<int>(incoming.message.type)));
    }
    if (incoming.reset)
      steps.insert(steps.begin(), tds::Bytes(std::begin(env_reset_ack), std::end(env_reset_ack)));
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
        co_await generate(channel, out, *rows, session.version);
      else if (const auto *chunks = std::get_if<GeneratedChunks>(&step))
        co_await generate(channel, out, *chunks);
      else if (const auto *meeting = std::get_if<Meet>(&step))
        co_await meet(channel, session.app_name, meeting->connections);
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

  Task<> generate(Channel &channel, ReplyStream &out, GeneratedRows rows, tds::Version version) {
    const auto columns = generated_columns(rows.bytes);
    tds::Writer some;
    for (std::uint64_t row = 0; row < rows.count && !channel.attention() && !channel.ended(); ++row) {
      append_row(some, columns, generated_row(row + 1, rows.bytes), version);
      if (some.size() < piece && row + 1 < rows.count) continue;
      co_await out.write(std::exchange(some, tds::Writer()).bytes());
    }
  }

  Task<> generate(Channel &channel, ReplyStream &out, GeneratedChunks chunks) {
    for (auto left = chunks.bytes; left > 0 && !channel.attention() && !channel.ended();) {
      const auto size = std::min<std::uint64_t>(left, piece);
      left -= size;
      tds::Writer chunk;
      chunk.u32_le(static_cast<std::uint32_t>(size));
      chunk.append(tds::Bytes(size, 'b'));
      co_await out.write(chunk.bytes());
    }
    if (channel.attention())
      co_await out.write(tds::Bytes(4)); // a value ends with an empty chunk also where it was cut
  }

  Task<> wait(Channel &channel, Wait wait) {
    const auto started = std::chrono::steady_clock::now();
    while (!channel.attention() && !channel.ended() && std::chrono::steady_clock::now() - started < wait.time)
      co_await channel.wait(shim::left_of(wait.time, started));
  }

  /// Throws ConnectionEnded when the others do not come.
  Task<> meet(Channel &channel, const std::string &app, std::size_t connections) {
    struct Place {
      std::vector<Channel *> &here;
      Channel *mine;
      ~Place() { std::erase(here, mine); }
      bool taken() const { return std::ranges::find(here, mine) != here.end(); }
    } place{(*meetings_)[app], &channel};
    place.here.push_back(&channel);
    if (place.here.size() >= connections)
      for (auto *one : std::exchange(place.here, {}))
        one->wake();
    const auto started = std::chrono::steady_clock::now();
    while (place.taken() && !channel.attention() && !channel.ended()) {
      if (std::chrono::steady_clock::now() - started >= longest_meeting)
        throw ConnectionEnded(fmt::format("lab_meet {}: only {} came", connections, place.here.size()));
      co_await channel.wait(shim::left_of(longest_meeting, started));
    }
  }

  shim::Executor executor_;
  std::shared_ptr<const PeerOptions> options_;
  std::shared_ptr<const TlsContext> tls_; // null: no certificate
  Recorder recorder_;
  Wire wire_;
  std::shared_ptr<Channel> main_;
  PeerLogin login_;
  std::shared_ptr<Meetings> meetings_;                         // of the server
  std::map<std::uint16_t, std::shared_ptr<Channel>> sessions_; // of MARS, by SMP session id
  tds::Bytes smp_;                                             // of a frame that is not whole yet
  Session
      session_; // the facts of the connection, then as it was at LOGINACK: what each MARS session begins with
  bool logged_in_ = false;
  bool failed_ = false;
  int mars_sessions_ = 0;
  std::uint64_t requests_ = 0;
};

/// Null where there is no certificate. Throws LabError for options that cannot be.
std::shared_ptr<const TlsContext> context_of(const PeerOptions &options) {
  const auto one_of = [](const std::string &value, std::initializer_list<std::string_view> known) {
    if (std::ranges::find(known, value) == known.end())
      throw LabError(fmt::format("peer options: there is no \"{}\"", value));
  };
  one_of(options.encrypt, {"off", "login", "on", "require", "strict"});
  one_of(options.epa, {"off", "allowed", "required"});
  if (options.certificate.empty()) {
    if (options.encrypt == "off") return nullptr;
    throw LabError(fmt::format("a peer with encrypt = {} needs a certificate", options.encrypt));
  }
  const auto usual_max =
      options.encrypt == "strict" ? "1.3" : "1.2"; // many clients hang with 1.3 inside PRELOGIN
  return std::make_shared<TlsContext>(
      TlsOptions{.certificate = options.certificate,
                 .key = options.key,
                 .min = options.tls_min,
                 .max = options.tls_max.empty() ? usual_max : options.tls_max});
}

} // namespace

struct PeerServer::Listener : std::enable_shared_from_this<PeerServer::Listener> {
  using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, shim::Executor>;

  Listener(shim::Executor executor, PeerOptions given)
      : acceptor(executor), pipes(executor), options(std::make_shared<const PeerOptions>(std::move(given))),
        tls(context_of(*options)) {
    const asio::ip::tcp::endpoint place(asio::ip::make_address(options->address), options->port);
    try {
      acceptor.open(place.protocol());
      acceptor.set_option(asio::socket_base::reuse_address(true));
      acceptor.bind(place);
      acceptor.listen();
      if (!options->pipe.empty()) listen_for_pipes();
    } catch (const boost::system::system_error &error) {
      throw LabError(fmt::format("the peer cannot listen on {}:{}{}{}: {}", options->address, options->port,
                                 options->pipe.empty() ? "" : " and ", options->pipe.string(),
                                 error.code().message()));
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
      const auto client = socket.remote_endpoint(ignored), server = socket.local_endpoint(ignored);
      serve(std::move(socket), {.client_address = client.address().to_string(),
                                .local_address = server.address().to_string(),
                                .client_port = client.port(),
                                .local_port = server.port()});
    }
  }

  Task<> run_pipes() {
    const auto self = shared_from_this();
    while (pipes.is_open()) {
      auto [error, accepted] = co_await pipes.async_accept(shim::as_result);
      if (error == asio::error::operation_aborted || !pipes.is_open()) co_return;
      if (error) continue;
      asio::co_spawn(
          pipes.get_executor(),
          [self, pipe = shim::Socket(std::move(accepted))]() mutable { return self->greet(std::move(pipe)); },
          asio::detached);
    }
  }

  void close() {
    boost::system::error_code gone;
    acceptor.close(gone);
    pipes.close(gone); // its file stays: another server may have it by now
  }

  Acceptor acceptor;
  asio::basic_socket_acceptor<asio::local::stream_protocol, shim::Executor> pipes;
  std::shared_ptr<const PeerOptions> options;
  std::shared_ptr<const TlsContext> tls;
  std::shared_ptr<Tables> tables = std::make_shared<Tables>();
  std::shared_ptr<Meetings> meetings = std::make_shared<Meetings>();
  std::vector<std::weak_ptr<Connection>> connections;
  int next = 1;

private:
  void listen_for_pipes() {
    std::error_code absent;
    fs::remove(options->pipe, absent);
    const asio::local::stream_protocol::endpoint place(options->pipe.string());
    pipes.open(place.protocol());
    pipes.bind(place);
    pipes.listen();
  }

  /// What smbd says before the client's first byte: who the user of its session is.
  Task<> greet(shim::Socket socket) {
    const auto self = shared_from_this();
    const auto user = co_await shim::with_deadline(read_pipe_user(socket), pipe_greeting);
    const auto failure = !user ? "no greeting came"s : *user ? ""s : user->error();
    if (!failure.empty()) {
      Recorder(options->records, next++).facts({{"transport", named_pipe}, {"error", "smbd: " + failure}});
      co_return;
    }
    serve(std::move(socket), {.transport = named_pipe, .client_address = "<named pipe>"}, **user);
  }

  void serve(shim::Socket socket, Origin origin, std::optional<PipeUser> user = {}) {
    try {
      const auto connection = std::make_shared<Connection>(std::move(socket), std::move(origin), options, tls,
                                                           tables, meetings, next++);
      if (user) connection->record(*user);
      std::erase_if(connections, [](const auto &old) { return old.expired(); });
      connections.push_back(connection);
      connection->start();
    } catch (const std::exception &failure) {
      fmt::print(stderr, "peer: {}\n", failure.what());
    }
  }
};

PeerServer::PeerServer(shim::Executor executor, PeerOptions options)
    : listener_(std::make_shared<Listener>(executor, std::move(options))) {
  asio::co_spawn(
      executor, [listener = listener_] { return listener->run(); }, asio::detached);
  if (!listener_->options->pipe.empty())
    asio::co_spawn(
        executor, [listener = listener_] { return listener->run_pipes(); }, asio::detached);
}

PeerServer::~PeerServer() { stop(); }

std::uint16_t PeerServer::port() const { return listener_->acceptor.local_endpoint().port(); }

void PeerServer::stop() {
  listener_->close();
  for (const auto &connection : listener_->connections)
    if (const auto open = connection.lock()) open->close();
}

} // namespace lab

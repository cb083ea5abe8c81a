#include "tests/unit/shim/smb/peer.hpp"

namespace smb_test {
namespace {

/// A TDS packet of `size` bytes.
Bytes packet(std::size_t size, std::uint8_t fill = 7) {
  Bytes bytes(size, fill);
  bytes[0] = 1;
  bytes[1] = 1;
  bytes[2] = static_cast<std::uint8_t>(size >> 8);
  bytes[3] = static_cast<std::uint8_t>(size);
  return bytes;
}

class SmbPipe : public testing::Test {
protected:
  void stand(PeerOptions options = {}) {
    peer_.emplace(std::move(options));
    session_.emplace(request());
    const auto failure = run(*session_, *peer_);
    ASSERT_FALSE(failure) << failure->detail;
    pipes_.emplace(*session_);
    pipe_ = std::make_unique<Pipe>(*pipes_, "sql\\query");
  }
  void receive(const Bytes &bytes) {
    session_->receive(bytes);
    [[maybe_unused]] const auto done = pipes_->step();
  }
  /// Until nobody has anything to say.
  void settle() {
    for (int i = 0; i < 100 && !session_->output().empty(); ++i) {
      const Bytes out(session_->output().begin(), session_->output().end());
      session_->sent(out.size());
      receive(peer_->exchange(out));
    }
    EXPECT_TRUE(session_->output().empty()) << "it has no end";
  }
  void open(PeerOptions options = {}) {
    stand(std::move(options));
    settle();
    ASSERT_EQ(pipe_->state(), Pipe::State::open) << pipe_->failure().detail;
  }
  std::size_t write(const Bytes &bytes) {
    return pipe_->write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  }
  Bytes read() {
    Bytes bytes(largest_payload);
    bytes.resize(pipe_->read(reinterpret_cast<char *>(bytes.data()), bytes.size()));
    return bytes;
  }

  std::optional<Peer> peer_;
  std::optional<Session> session_;
  std::optional<Pipes> pipes_;
  std::unique_ptr<Pipe> pipe_;
};

TEST_F(SmbPipe, AReadIsAlwaysPending) {
  open();
  EXPECT_EQ(peer_->reads.size(), 1u);
  receive(peer_->data(text("rows")));
  EXPECT_EQ(read(), text("rows"));
  settle();
  EXPECT_EQ(peer_->reads.size(), 1u);
  EXPECT_EQ(read(), Bytes());
}

TEST_F(SmbPipe, WritesWhileAReadIsPending) {
  open({.cipher = Cipher::aes256_gcm});
  EXPECT_EQ(write(packet(8)), 8u);
  settle();
  EXPECT_EQ(peer_->count(Command::write), 1u);
  EXPECT_EQ(peer_->reads.size(), 1u);
}

TEST_F(SmbPipe, OnePacketIsOneWriteHoweverItComes) {
  open();
  const auto both = packet(300) + packet(20);
  for (const auto byte : both) {
    EXPECT_EQ(write({byte}), 1u);
    settle();
  }
  ASSERT_EQ(peer_->count(Command::write), 2u);
  std::vector<std::size_t> sizes;
  for (const auto &one : peer_->seen)
    if (one.header.command == Command::write) sizes.push_back(one.body.size() - 48);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{300, 20}));
}

TEST_F(SmbPipe, ASlowServerIsNotSentMoreThanItTakes) {
  open({.credits = 1});
  std::size_t taken = 0;
  for (int i = 0; i < 100; ++i)
    taken += write(packet(4096));
  EXPECT_LE(taken, Pipe::most_unsent + (Pipe::most_writes + 1) * 4096);
  EXPECT_FALSE(pipe_->can_write());
}

TEST_F(SmbPipe, MessagesThatDoNotFitComeInParts) {
  open();
  receive(peer_->data(text("first part "), Status::buffer_overflow));
  EXPECT_EQ(read(), text("first part "));
  settle();
  receive(peer_->data(text("and the rest")));
  EXPECT_EQ(read(), text("and the rest"));
}

TEST_F(SmbPipe, ItsEndIsTheEndAfterWhatCame) {
  open();
  receive(peer_->data(text("last")));
  EXPECT_FALSE(pipe_->at_end());
  EXPECT_EQ(read(), text("last"));
  settle();
  receive(peer_->no_data(Status::pipe_broken));
  EXPECT_TRUE(pipe_->at_end());
}

TEST_F(SmbPipe, WithOneCreditAReadThatWaitsMakesRoom) {
  stand({.credits = 1});
  // The interim answers grant nothing: the READ holds the one credit that there is.
  peer_->way = [&](Command, Bytes message) { return Messages{message}; };
  settle();
  while (session_->channel().has_credit()) { // what was granted while the session was made
    peer_->options.credits = 0;
    EXPECT_GT(write(packet(8)), 0u);
    settle();
  }
  const auto before = peer_->count(Command::write);
  EXPECT_EQ(write(packet(8)), 8u);
  peer_->options.credits = 1;
  settle();
  EXPECT_EQ(peer_->count(Command::cancel), 1u);
  EXPECT_EQ(peer_->count(Command::write), before + 1);
  EXPECT_EQ(pipe_->state(), Pipe::State::open);
}

TEST_F(SmbPipe, OneThatIsBusyIsWaitedForAndTriedAgain) {
  stand();
  int busy = 3;
  peer_->status = [&](const Header &header, ByteView) {
    return header.command == Command::create && busy-- > 0 ? std::optional(Status::pipe_not_available)
                                                           : std::nullopt;
  };
  settle();
  EXPECT_EQ(pipe_->state(), Pipe::State::open);
  EXPECT_EQ(peer_->count(Command::create), 4u);
  EXPECT_EQ(peer_->count(Command::ioctl), 3u);
}

TEST_F(SmbPipe, OpeningFailsByName) {
  const std::vector<std::pair<Status, Fault>> rows{{Status::object_name_not_found, Fault::pipe_missing},
                                                   {Status::access_denied, Fault::access_denied},
                                                   {Status::pipe_not_available, Fault::pipe_busy},
                                                   {Status::invalid_parameter, Fault::server_error}};
  for (const auto &[status, fault] : rows) {
    stand();
    peer_->status = [&, answered = status](const Header &header, ByteView) {
      return header.command == Command::create ? std::optional(answered) : std::nullopt;
    };
    settle();
    EXPECT_EQ(pipe_->state(), Pipe::State::failed) << to_string(status);
    EXPECT_EQ(pipe_->failure().fault, fault) << pipe_->failure().detail;
    pipe_.reset();
  }
}

TEST_F(SmbPipe, SeveralShareASession) {
  open();
  Pipe other(*pipes_, "sql\\query");
  settle();
  EXPECT_EQ(other.state(), Pipe::State::open);
  EXPECT_EQ(peer_->reads.size(), 2u);
  receive(peer_->data(text("for the first")));
  EXPECT_EQ(read(), text("for the first"));
  EXPECT_FALSE(other.has_data());
  pipe_.reset();
  settle();
  EXPECT_EQ(pipes_->size(), 1u);
  EXPECT_EQ(other.state(), Pipe::State::open);
}

TEST_F(SmbPipe, AnAnswerThatComesTwiceEndsTheSession) {
  open();
  const auto once = peer_->data(text("once"));
  receive(once);
  EXPECT_EQ(read(), text("once"));
  receive(once);
  EXPECT_EQ(pipe_->state(), Pipe::State::failed);
  EXPECT_EQ(pipe_->failure().fault, Fault::signing_refused);
}

TEST_F(SmbPipe, PutOffForEverIsTheEnd) {
  open();
  const auto asked = peer_->reads.front();
  for (int i = 0; i < 10; ++i)
    receive(peer_->interim(asked));
  EXPECT_EQ(pipe_->state(), Pipe::State::failed);
  EXPECT_EQ(pipe_->failure().fault, Fault::protocol_violation);
}

TEST_F(SmbPipe, ClosedAfterWhatWasWritten) {
  open();
  write(packet(100));
  pipe_->close();
  settle();
  EXPECT_EQ(peer_->count(Command::write), 1u);
  EXPECT_EQ(peer_->count(Command::close), 1u);
  EXPECT_TRUE(pipe_->at_end());
}

TEST(SmbUnits, ArePacketsOrRecords) {
  EXPECT_EQ(whole_unit(packet(100)), 100u);
  EXPECT_EQ(whole_unit(ByteView(packet(100)).first(99)), 0u);
  EXPECT_EQ(whole_unit(Bytes{0x17, 3, 3, 0, 2, 1, 1, 9}), 7u);
  EXPECT_EQ(whole_unit(Bytes{0x17, 3, 3}), 0u);
  EXPECT_EQ(whole_unit(Bytes{1, 1, 0, 3, 0, 0, 0}), 7u) << "no packet: goes on as it is";
}

} // namespace
} // namespace smb_test

#include "tools/lab/process.hpp"

#include "tools/lab/block.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

extern char **environ;

namespace lab {
namespace {

/// Debian's package for a program of the lab; empty where we do not know.
std::string package_of(std::string_view program) {
  if (program == "krb5kdc" || program == "kdb5_util") return "krb5-kdc";
  if (program == "kadmin.local") return "krb5-admin-server";
  if (program == "kinit" || program == "kvno" || program == "klist") return "krb5-user";
  if (program == "dnsmasq") return "dnsmasq-base";
  if (program == "kcm") return "heimdal-kcm";
  if (program == "tsql") return "freetds-bin";
  if (program == "smbd" || program == "pdbedit") return "samba";
  return {};
}

fs::path find_program(const std::string &name, const Environment &environment) {
  if (name.contains('/')) return name;
  const auto its_own = environment.find("PATH");
  const char *path = its_own != environment.end() ? its_own->second.c_str() : std::getenv("PATH");
  // An ordinary user's PATH lacks the folders where krb5kdc and dnsmasq live.
  std::stringstream folders(fmt::format("{}:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin"));
  for (std::string folder; std::getline(folders, folder, ':');)
    if (const auto candidate = fs::path(folder) / name; ::access(candidate.c_str(), X_OK) == 0)
      return candidate;
  const auto package = package_of(name);
  throw LabError(
      fmt::format("{} is not installed{}", name, package.empty() ? "" : ": apt-get install " + package));
}

/// "NAME=value" strings: ours with `changes` laid over.
std::vector<std::string> merged(const Environment &changes) {
  Environment all;
  for (char **entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals != text.npos) all.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const auto &[name, value] : changes)
    all[name] = value;
  std::vector<std::string> strings;
  for (const auto &[name, value] : all)
    if (const auto change = changes.find(name); change == changes.end() || !change->second.empty())
      strings.push_back(name + "=" + value);
  return strings;
}

std::vector<char *> pointers(std::vector<std::string> &strings) {
  std::vector<char *> result;
  for (auto &string : strings)
    result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

int decode(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

} // namespace

Process::Process(Command command) : output_(command.output) {
  const auto program = find_program(command.argv.at(0), command.environment);
  name_ = program.filename();
  if (::access(program.c_str(), X_OK) != 0)
    throw LabError(fmt::format("cannot run {}: {}", program.string(), std::strerror(errno)));

  // Everything that allocates comes before vfork: the child may only make plain system calls.
  auto strings = merged(command.environment);
  const auto environment = pointers(strings);
  const auto arguments = pointers(command.argv);
  const fs::path input = command.input.empty() ? fs::path("/dev/null") : command.input;
  const bool own_input = command.terminal && command.input.empty();
  if (!output_.empty()) {
    std::error_code absent;
    const auto size = fs::file_size(output_, absent);
    output_start_ = absent ? 0 : size;
  }
  const pid_t parent = ::getpid();
  sigset_t all, before, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);

  // Not fork: to copy the page tables of a program under AddressSanitizer, and both sides' pages after that,
  // costs more than all else here.
  const pid_t child = ::vfork();
  if (child == 0) {
    for (int number = 1; number < NSIG; ++number)
      ::signal(number, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127); // it died before the line above
    if (!command.terminal) ::setpgid(0, 0);  // a Ctrl-C is for the command, not for the lab's daemons
    if (!own_input) {
      const int in = ::open(input.c_str(), O_RDONLY);
      if (in < 0 || ::dup2(in, 0) < 0) ::_exit(126);
      if (in > 2) ::close(in);
    }
    if (!output_.empty()) {
      const int out = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      if (out < 0 || ::dup2(out, 1) < 0 || ::dup2(out, 2) < 0) ::_exit(126);
      if (out > 2) ::close(out);
    }
    ::execve(program.c_str(), arguments.data(), environment.data());
    ::_exit(127);
  }
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pid_ = child;
  if (pid_ < 0) throw LabError(fmt::format("cannot start {}: {}", name_, std::strerror(error)));
}

Process::Process(Process &&other) noexcept
    : name_(std::move(other.name_)), output_(std::move(other.output_)), output_start_(other.output_start_),
      pid_(std::exchange(other.pid_, -1)), status_(std::exchange(other.status_, std::nullopt)) {}

Process &Process::operator=(Process &&other) noexcept {
  if (this == &other) return *this;
  stop();
  name_ = std::move(other.name_);
  output_ = std::move(other.output_);
  output_start_ = other.output_start_;
  pid_ = std::exchange(other.pid_, -1);
  status_ = std::exchange(other.status_, std::nullopt);
  return *this;
}

std::optional<int> Process::status() {
  if (pid_ <= 0 || status_) return status_;
  int raw = 0;
  pid_t reaped = 0;
  do
    reaped = ::waitpid(pid_, &raw, WNOHANG);
  while (reaped < 0 && errno == EINTR);
  if (reaped == pid_) status_ = decode(raw);
  if (reaped < 0) status_ = 127; // somebody else reaped it: it is gone all the same
  return status_;
}

bool Process::running() { return pid_ > 0 && !status(); }

std::optional<int> Process::wait(milliseconds deadline) {
  eventually([&] { return !running(); }, deadline);
  return status();
}

void Process::signal(int number) {
  if (running()) ::kill(pid_, number); // not reaped, so the pid cannot be another's
}

void Process::stop(milliseconds grace) {
  signal(SIGTERM);
  signal(SIGCONT); // a stopped child would sleep through SIGTERM
  if (pid_ > 0 && !wait(grace)) {
    signal(SIGKILL);
    wait(5s);
  }
}

void Process::wait_until(const std::string &what, const std::function<bool()> &condition,
                         milliseconds deadline) {
  bool held = false;
  eventually([&] { return (held = condition()) || !running(); }, deadline);
  if (held) return;
  const auto how = status_ ? fmt::format("ended with status {}", *status_) : "did not do so in time";
  throw LabError(
      fmt::format("waited for {} to {}: it {}\n{}", name_, what, how, output_.empty() ? "" : tail(output_)));
}

void Process::wait_for_port(const std::string &address, std::uint16_t port, milliseconds deadline) {
  wait_until(
      fmt::format("listen on {}:{}", address, port), [&] { return port_answers(address, port); }, deadline);
}

std::string Process::wait_for_line(const std::string &prefix, milliseconds deadline) {
  std::string rest;
  wait_until(
      fmt::format("print \"{}\"", prefix),
      [&] {
        std::istringstream lines(read_file(output_).substr(output_start_));
        for (std::string line; std::getline(lines, line) && !lines.eof();) // the last line may still grow
          if (line.starts_with(prefix)) {
            rest = line.substr(prefix.size());
            return true;
          }
        return false;
      },
      deadline);
  return rest;
}

Finished run(Command command, std::string_view input, milliseconds deadline) {
  const TemporaryFolder folder("sqlshim-run");
  if (command.output.empty()) command.output = folder.path() / "output";
  if (!input.empty()) write_file(command.input = folder.path() / "input", input);
  const auto output = command.output;
  const auto program = command.argv.at(0);
  Process process(std::move(command));
  const auto status = process.wait(deadline);
  if (!status) {
    process.stop(0ms);
    throw LabError(fmt::format("{} did not end within {} ms\n{}", program, deadline.count(), tail(output)));
  }
  return {*status, read_file(output)};
}

bool eventually(const std::function<bool()> &condition, milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(3ms);
  }
  return true;
}

bool port_answers(const std::string &address, std::uint16_t port) {
  const auto target = socket_address(address, port);
  const int probe = ::socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool answered = ::connect(probe, reinterpret_cast<const sockaddr *>(&target), sizeof target) == 0;
  ::close(probe);
  return answered;
}

} // namespace lab

#include "shim/names/name_files.hpp"

#include "config/resolv_conf.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shim {
namespace {

using WallClock = std::chrono::system_clock;

/// The kernel's clock for files ticks no slower than this.
constexpr std::chrono::milliseconds tick{20};

std::string in_words(const config::Dns &dns) {
  std::vector<std::string> servers;
  for (const auto &server : dns.servers)
    servers.push_back(server.text());
  return fmt::format("servers {}; search {}; ndots {}", fmt::join(servers, ", "),
                     dns.search.empty() ? "nothing" : fmt::format("{}", fmt::join(dns.search, ", ")),
                     dns.ndots);
}

} // namespace

bool NameFiles::Watched::has_changed() {
  struct stat info {};
  const bool there = !path.empty() && ::stat(path.c_str(), &info) == 0;
  const auto last = [&](const timespec &time) {
    return WallClock::time_point(std::chrono::seconds(time.tv_sec) +
                                 std::chrono::microseconds(time.tv_nsec / 1000));
  };
  const auto seen = there ? fmt::format("{}.{}.{}.{}.{}", info.st_dev, info.st_ino, info.st_size,
                                        info.st_mtim.tv_sec, info.st_mtim.tv_nsec)
                          : std::string();
  const bool same = settled && seen == stamp;
  settled = !there || WallClock::now() - last(info.st_mtim) > tick;
  stamp = seen;
  return !same;
}

std::string NameFiles::Watched::read() const {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO would hold us up
  if (fd < 0) return text;
  struct stat info {};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    text.resize(most_read);
    std::size_t size = 0;
    for (ssize_t count = 1; count > 0 && size < text.size();
         size += static_cast<std::size_t>(std::max(count, ssize_t{0})))
      count = ::read(fd, text.data() + size, text.size() - size);
    text.resize(size);
    if (size == most_read) text.resize(text.rfind('\n') + 1); // no part of a line
  }
  ::close(fd);
  return text;
}

NameFiles::NameFiles(config::Dns dns, std::function<void(std::string)> changed)
    : hosts_{.path = dns.resolver == config::Resolver::own ? dns.hosts : std::filesystem::path(),
             .stamp = {}},
      resolv_conf_{.path = dns.from_resolv_conf.file, .stamp = {}},
      rules_(std::make_shared<const NameRules>(NameRules{std::move(dns), {}})), changed_(std::move(changed)) {
}

std::shared_ptr<const NameRules> NameFiles::current() {
  std::lock_guard lock(mutex_);
  if (hosts_.has_changed()) reread_hosts();
  const auto &from = rules_->dns.from_resolv_conf;
  if ((from.servers || from.search || from.ndots) && resolv_conf_.has_changed()) reread_resolv_conf();
  first_ = false;
  return rules_;
}

void NameFiles::reread_hosts() {
  auto rules = *rules_;
  rules.hosts = auth::Hosts(hosts_.read(), hosts_.path.string());
  if (rules.hosts == rules_->hosts) return;
  auto what = fmt::format("{} has changed: {} names", hosts_.path.string(), rules.hosts.names());
  put(std::move(rules), first_ ? std::string() : std::move(what));
}

void NameFiles::reread_resolv_conf() {
  auto rules = *rules_;
  config::follow(rules.dns, config::parse_resolv_conf(resolv_conf_.read()));
  if (rules.dns == rules_->dns) return;
  auto what = fmt::format("{} has changed: {}; DNS answers forgotten", resolv_conf_.path.string(),
                          in_words(rules.dns));
  put(std::move(rules), std::move(what));
}

void NameFiles::put(NameRules rules, std::string what) {
  rules_ = std::make_shared<const NameRules>(std::move(rules));
  if (changed_ && !what.empty()) changed_(std::move(what));
}

} // namespace shim

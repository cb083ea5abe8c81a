// SQL Browser of the lab: says on UDP 1434 where its named instance listens now.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

namespace lab {

/// Answers questions about one instance, and about all, on a thread of its own while it lives.
class BrowserService {
public:
  /// `port` is asked at each question, on that thread. `pipe`: of the instance, "\\SQL1\pipe\sql\query";
  /// empty: it has none. Throws LabError where the address cannot be bound.
  BrowserService(const std::string &address, std::string instance, std::function<std::uint16_t()> port,
                 std::string pipe = {});
  ~BrowserService();
  BrowserService(const BrowserService &) = delete;
  BrowserService &operator=(const BrowserService &) = delete;

  void answer(bool answers) { answers_ = answers; } ///< false: it takes the questions and says nothing
  int questions() const { return questions_; }      ///< that it can read, answered or not

private:
  void run();

  std::string instance_;
  std::function<std::uint16_t()> port_;
  std::string pipe_;
  int socket_ = -1, stop_ = -1;
  std::atomic<bool> answers_{true};
  std::atomic<int> questions_{0};
  std::thread thread_;
};

} // namespace lab

// A text file that somebody else writes: its lines as they become whole, through rotation and truncation.
#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace commands {

/// Follows a file by its name, as tail -F does. Not thread-safe.
class Follower {
public:
  /// The file need not exist yet.
  explicit Follower(std::filesystem::path path) : path_(std::move(path)) {}
  ~Follower();
  Follower(const Follower &) = delete;

  struct Line {
    std::string text;   ///< without its newline
    bool first = false; ///< of its file: a new one, or one that was cut to nothing
  };
  /// The lines that have become whole since the last call, none where nothing has happened; the first call
  /// begins with the first line of the file. Never waits.
  /// - The file was moved away: it is read on until there is something in a new one of its name, since its
  ///   writer may not have noticed yet.
  /// - The file is shorter than what was read of it: it is read from its beginning.
  /// A line whose rest can no longer come is handed out as it is.
  std::vector<Line> lines();

private:
  bool replaced() const;
  void open();
  void read_on(std::vector<Line> &lines);
  void hand_out(std::vector<Line> &lines, std::string text);
  void give_up_partial(std::vector<Line> &lines);

  std::filesystem::path path_;
  int fd_ = -1;
  off_t read_ = 0;       ///< bytes
  std::string partial_;  ///< a line so far
  bool at_start_ = true; ///< no line of this file has been handed out
};

} // namespace commands

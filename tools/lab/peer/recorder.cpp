#include "tools/lab/peer/recorder.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace lab {
namespace {

int open_record(const fs::path &path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) throw LabError("cannot write " + path.string());
  return file;
}

void append(int file, tds::ByteView bytes) {
  while (file >= 0 && !bytes.empty()) {
    const auto written = ::write(file, bytes.data(), bytes.size());
    if (written <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

} // namespace

Recorder::Recorder(const fs::path &folder, int number) {
  if (folder.empty()) return;
  base_ = folder / fmt::format("{:04}", number);
  wire_ = open_record(base_.string() + ".wire.bin");
  tds_ = open_record(base_.string() + ".tds.bin");
}

Recorder::~Recorder() {
  if (wire_ >= 0) ::close(wire_);
  if (tds_ >= 0) ::close(tds_);
}

void Recorder::received(tds::ByteView bytes) { append(wire_, bytes); }

void Recorder::understood(tds::ByteView bytes) { append(tds_, bytes); }

void Recorder::fact(const std::string &name, nlohmann::json value) {
  facts_[name] = std::move(value);
  save();
}

void Recorder::facts(const nlohmann::json &object) {
  facts_.update(object);
  save();
}

int Recorder::next_number(const fs::path &folder) {
  int last = 0;
  std::error_code absent;
  for (const auto &entry : fs::directory_iterator(folder, absent))
    last = std::max(last, std::atoi(entry.path().filename().c_str()));
  return last + 1;
}

void Recorder::save() const {
  if (base_.empty()) return;
  const fs::path fresh = base_.string() + ".json.new";
  write_file(fresh, facts_.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  fs::rename(fresh, base_.string() + ".json");
}

} // namespace lab

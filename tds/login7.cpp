#include "tds/login7.hpp"

#include <algorithm>
#include <string_view>

namespace tds {

namespace {

constexpr std::string_view structure = "LOGIN7";

// Units of the longest text that MS-TDS 2.2.6.4 allows.
constexpr std::size_t longest_name = 128;
constexpr std::size_t longest_file_name = 260;

std::size_t fixed_size(Version version) { return version.at_least_7_2() ? 94 : 86; }

// A pair of ib and cch (or cb) in the fixed part: where a field's bytes are.
struct Slot {
  std::string_view name;
  std::size_t at = 0;       // where the pair stands in the fixed part, for complaints
  std::uint16_t offset = 0; // from the payload's start
  std::uint16_t length = 0; // in the unit of the field
};

Error complain(std::string_view prefix, std::string_view name, std::string what, std::size_t at) {
  return {std::string(structure), std::string(prefix).append(name), std::move(what), at};
}

std::string greater(std::size_t value, std::size_t limit) {
  return " (" + std::to_string(value) + " > " + std::to_string(limit) + ")";
}

// The password obfuscation of MS-TDS 2.2.6.4: no encryption, so a LOGIN7 on the wire is a secret as a whole.
std::uint8_t swap_nibbles(std::uint8_t byte) { return static_cast<std::uint8_t>(byte << 4 | byte >> 4); }
std::uint8_t obfuscate(std::uint8_t clear) { return swap_nibbles(clear) ^ 0xA5; }
std::uint8_t reveal(std::uint8_t wire) { return swap_nibbles(wire ^ 0xA5); }

// Reads the variable part through the slots. The first failure sticks in `fields`.
class VariablePart {
public:
  VariablePart(ByteView payload, std::size_t fixed, Fields &fields)
      : payload_(payload), fixed_(fixed), fields_(fields) {}

  std::u16string text(const Slot &slot, std::size_t longest = longest_name) {
    const ByteView found = units(slot, longest);
    Reader reader(found, structure);
    return Fields(reader).utf16(found.size() / 2, slot.name);
  }

  Secret password(const Slot &slot) {
    const ByteView found = units(slot, longest_name);
    Bytes clear(found.size());
    std::ranges::transform(found, clear.begin(), reveal);
    return Secret(std::move(clear));
  }

  // `size` bytes at the slot's offset. An empty field may point anywhere: clients write 0 or
  // where it would have been.
  ByteView bytes(const Slot &slot, std::size_t size) {
    if (size == 0 || !fields_.ok()) return {};
    if (slot.offset < fixed_) {
      fields_.fail(
          complain("ib", slot.name, "points into the fixed part" + greater(fixed_, slot.offset), slot.at));
      return {};
    }
    if (slot.offset > payload_.size() || size > payload_.size() - slot.offset) {
      fields_.fail(complain("ib", slot.name,
                            "points past the end" + greater(slot.offset + size, payload_.size()), slot.at));
      return {};
    }
    return payload_.subspan(slot.offset, size);
  }

private:
  ByteView units(const Slot &slot, std::size_t longest) {
    if (slot.length > longest) {
      fields_.fail(complain("cch", slot.name, "is too long" + greater(slot.length, longest), slot.at + 2));
      return {};
    }
    return bytes(slot, std::size_t{2} * slot.length);
  }

  ByteView payload_;
  std::size_t fixed_;
  Fields &fields_;
};

std::vector<Feature> decode_features(ByteView payload, const Slot &extension, VariablePart &variable,
                                     Fields &fields) {
  // The field holds no features itself but the DWORD that tells where they are.
  Reader inner(variable.bytes(extension, extension.length), structure);
  const auto offset = inner.u32_le("ibFeatureExtLong");
  if (!fields.ok()) return {};
  if (extension.length != 4) {
    fields.fail(complain("cb", extension.name, "is not 4 (" + std::to_string(extension.length) + ")",
                         extension.at + 2));
    return {};
  }
  if (*offset < fixed_size(tds_7_4) || *offset >= payload.size()) {
    fields.fail({std::string(structure), "ibFeatureExtLong",
                 "points outside the variable part (" + std::to_string(*offset) + ")", extension.offset});
    return {};
  }

  Reader reader(payload, structure);
  Fields in(reader);
  in.take(*offset, "FeatureExt");
  std::vector<Feature> features;
  while (in.ok()) {
    const auto id = in.u8("FeatureExt without its end (0xFF)");
    if (id == 0xFF) break;
    const auto size = in.u32_le("FeatureDataLen");
    const auto data = in.take(size, "FeatureData");
    features.push_back({static_cast<FeatureId>(id), Bytes(data.begin(), data.end())});
  }
  auto whole = in.finish(std::move(features));
  if (whole) return *std::move(whole);
  fields.fail(std::move(whole).error());
  return {};
}

// Lays the variable part out and remembers where each field went.
class VariableWriter {
public:
  explicit VariableWriter(std::size_t fixed) : fixed_(fixed) {}

  Slot text(std::string_view name, std::u16string_view value, std::size_t longest = longest_name) {
    const Slot slot = units(name, value.size(), longest);
    data_.utf16(value);
    return slot;
  }

  Slot password(std::string_view name, const Secret &secret) {
    const Slot slot = units(name, secret.size() / 2, longest_name);
    if (secret.size() % 2 != 0)
      fail(complain("cch", name, "is half a UTF-16 unit too long", fixed_ + data_.size()));
    for (const std::uint8_t byte : secret.reveal())
      data_.u8(obfuscate(byte));
    return slot;
  }

  // `length` is what the slot says, 0xFFFF for an SSPI token that needs the long length.
  Slot bytes(std::string_view name, ByteView value, std::size_t length) {
    const Slot slot = place(name, length);
    data_.append(value);
    return slot;
  }

  std::size_t end() const { return fixed_ + data_.size(); }
  Writer &data() { return data_; }
  const std::optional<Error> &failed() const { return failed_; }

private:
  Slot units(std::string_view name, std::size_t size, std::size_t longest) {
    if (size > longest) fail(complain("cch", name, "is too long" + greater(size, longest), end()));
    return place(name, size);
  }

  Slot place(std::string_view name, std::size_t length) {
    // Behind a long SSPI token an empty field has no offset that fits; it needs none.
    if (end() > 0xFFFF && length == 0) return {};
    if (end() > 0xFFFF) fail(complain("ib", name, "does not fit 16 bits" + greater(end(), 0xFFFF), end()));
    return {.name = name,
            .offset = static_cast<std::uint16_t>(end()),
            .length = static_cast<std::uint16_t>(length)};
  }

  void fail(Error error) {
    if (!failed_) failed_ = std::move(error);
  }

  std::size_t fixed_;
  Writer data_;
  std::optional<Error> failed_;
};

} // namespace

const Feature *Login7::find(FeatureId id) const {
  const auto found = std::ranges::find(features, id, &Feature::id);
  return found == features.end() ? nullptr : &*found;
}

Login7 Login7::clone() const {
  return {.tds_version = tds_version,
          .packet_size = packet_size,
          .client_prog_ver = client_prog_ver,
          .client_pid = client_pid,
          .connection_id = connection_id,
          .option_flags1 = option_flags1,
          .option_flags2 = option_flags2,
          .type_flags = type_flags,
          .option_flags3 = option_flags3,
          .client_time_zone = client_time_zone,
          .client_lcid = client_lcid,
          .host_name = host_name,
          .user_name = user_name,
          .password = password.clone(),
          .app_name = app_name,
          .server_name = server_name,
          .clt_int_name = clt_int_name,
          .language = language,
          .database = database,
          .client_id = client_id,
          .sspi = sspi,
          .attach_db_file = attach_db_file,
          .change_password = change_password.clone(),
          .has_extension = has_extension,
          .features = features};
}

Result<Login7> decode_login7(ByteView payload) {
  Reader reader(payload, structure);
  Fields in(reader);
  const auto slot = [&](std::string_view name) {
    const std::size_t at = reader.offset();
    const std::uint16_t offset = in.u16_le(name);
    return Slot{.name = name, .at = at, .offset = offset, .length = in.u16_le(name)};
  };

  const std::uint32_t length = in.u32_le("Length");
  if (in.ok() && payload.size() > largest_login7)
    in.fail(complain("", "Length", "is too long" + greater(payload.size(), largest_login7), 0));
  if (in.ok() && length != payload.size())
    in.fail(complain("", "Length",
                     "says " + std::to_string(length) + " bytes, there are " + std::to_string(payload.size()),
                     0));

  Login7 login;
  login.tds_version.wire = in.u32_le("TDSVersion");
  if (in.ok() && !login.tds_version.known())
    in.fail(complain("", "TDSVersion", "is not 7.0 to 7.4 or 8.0 (" + login.tds_version.text() + ")", 4));
  login.packet_size = in.u32_le("PacketSize");
  login.client_prog_ver = in.u32_le("ClientProgVer");
  login.client_pid = in.u32_le("ClientPID");
  login.connection_id = in.u32_le("ConnectionID");
  login.option_flags1 = in.u8("OptionFlags1");
  login.option_flags2 = in.u8("OptionFlags2");
  login.type_flags = in.u8("TypeFlags");
  login.option_flags3 = in.u8("OptionFlags3");
  login.client_time_zone = static_cast<std::int32_t>(in.u32_le("ClientTimeZone"));
  login.client_lcid = in.u32_le("ClientLCID");
  const Slot host_name = slot("HostName");
  const Slot user_name = slot("UserName");
  const Slot password = slot("Password");
  const Slot app_name = slot("AppName");
  const Slot server_name = slot("ServerName");
  const Slot extension = slot("Extension");
  const Slot clt_int_name = slot("CltIntName");
  const Slot language = slot("Language");
  const Slot database = slot("Database");
  std::ranges::copy(in.take(login.client_id.size(), "ClientID"), login.client_id.begin());
  const Slot sspi = slot("SSPI");
  const Slot attach_db_file = slot("AtchDBFile");
  Slot change_password;
  std::uint32_t sspi_long = 0;
  if (login.tds_version.at_least_7_2()) {
    change_password = slot("ChangePassword");
    sspi_long = in.u32_le("cbSSPILong");
  }

  VariablePart variable(payload, fixed_size(login.tds_version), in);
  login.host_name = variable.text(host_name);
  login.user_name = variable.text(user_name);
  login.password = variable.password(password);
  login.app_name = variable.text(app_name);
  login.server_name = variable.text(server_name);
  login.clt_int_name = variable.text(clt_int_name);
  login.language = variable.text(language);
  login.database = variable.text(database);
  // 0xFFFF with no long length means just that many bytes.
  const auto token = variable.bytes(sspi, sspi.length == 0xFFFF && sspi_long > 0 ? sspi_long : sspi.length);
  login.sspi.assign(token.begin(), token.end());
  login.attach_db_file = variable.text(attach_db_file, longest_file_name);
  login.change_password = variable.password(change_password);
  login.has_extension =
      login.tds_version.at_least_7_2() && (login.option_flags3 & option3_extension) && extension.length > 0;
  if (login.has_extension) login.features = decode_features(payload, extension, variable, in);

  if (!in.ok()) return std::unexpected(in.finish(0).error());
  return login;
}

Result<Bytes> encode_login7(const Login7 &login) {
  const bool long_form = login.tds_version.at_least_7_2();
  const bool extension = login.has_extension || !login.features.empty();
  const bool long_sspi = login.sspi.size() >= 0xFFFF;
  if (!long_form && (!login.change_password.empty() || long_sspi || extension))
    return std::unexpected(
        complain("", "TDSVersion", "before 7.2 has no place for ChangePassword, cbSSPILong, FeatureExt", 4));

  // Same order as the fixed part. With integrated security drivers write 0 for the user and
  // password that are not there.
  VariableWriter variable(fixed_size(login.tds_version));
  const auto credential = [&](bool empty, auto write) {
    return empty && login.integrated_security() ? Slot{} : write();
  };
  const Slot host_name = variable.text("HostName", login.host_name);
  const Slot user_name =
      credential(login.user_name.empty(), [&] { return variable.text("UserName", login.user_name); });
  const Slot password =
      credential(login.password.empty(), [&] { return variable.password("Password", login.password); });
  const Slot app_name = variable.text("AppName", login.app_name);
  const Slot server_name = variable.text("ServerName", login.server_name);
  const std::size_t inner_offset_at = variable.data().size();
  const Slot extension_slot = variable.bytes("Extension", Bytes(extension ? 4 : 0),
                                             extension ? 4 : 0); // patched when its target is known
  const Slot clt_int_name = variable.text("CltIntName", login.clt_int_name);
  const Slot language = variable.text("Language", login.language);
  const Slot database = variable.text("Database", login.database);
  const Slot sspi = variable.bytes("SSPI", login.sspi, long_sspi ? 0xFFFF : login.sspi.size());
  const Slot attach_db_file = variable.text("AtchDBFile", login.attach_db_file, longest_file_name);
  const Slot change_password = variable.password("ChangePassword", login.change_password);
  if (extension) {
    variable.data().patch_u32_le(inner_offset_at, static_cast<std::uint32_t>(variable.end()));
    for (const auto &feature : login.features) {
      variable.data().u8(static_cast<std::uint8_t>(feature.id));
      variable.data().u32_le(static_cast<std::uint32_t>(feature.data.size()));
      variable.data().append(feature.data);
    }
    variable.data().u8(0xFF);
  }
  if (variable.failed()) return std::unexpected(*variable.failed());
  if (variable.end() > largest_login7)
    return std::unexpected(
        complain("", "Length", "is too long" + greater(variable.end(), largest_login7), 0));

  Writer out;
  const auto put = [&out](const Slot &slot) {
    out.u16_le(slot.offset);
    out.u16_le(slot.length);
  };
  out.u32_le(static_cast<std::uint32_t>(variable.end()));
  out.u32_le(login.tds_version.wire);
  out.u32_le(login.packet_size);
  out.u32_le(login.client_prog_ver);
  out.u32_le(login.client_pid);
  out.u32_le(login.connection_id);
  out.u8(login.option_flags1);
  out.u8(login.option_flags2);
  out.u8(login.type_flags);
  out.u8(extension ? login.option_flags3 | option3_extension : login.option_flags3);
  out.u32_le(static_cast<std::uint32_t>(login.client_time_zone));
  out.u32_le(login.client_lcid);
  put(host_name);
  put(user_name);
  put(password);
  put(app_name);
  put(server_name);
  put(extension_slot);
  put(clt_int_name);
  put(language);
  put(database);
  out.append(login.client_id);
  put(sspi);
  put(attach_db_file);
  if (long_form) {
    put(change_password);
    out.u32_le(long_sspi ? static_cast<std::uint32_t>(login.sspi.size()) : 0);
  }
  out.append(variable.data().bytes());
  return std::move(out).bytes();
}

} // namespace tds

#include "tools/lab/peer/sql/sql_type.hpp"

#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/sql_text.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <map>

namespace lab {
namespace {

/// How a type is written: what follows the type byte, and how a value says its length.
struct Shape {
  enum class Length { fixed, one_byte, two_bytes, four_bytes, chunks } length{};
  std::size_t size = 0;                                    ///< of a value of fixed length
  enum class Extra { none, size, scale, decimal } extra{}; ///< of TYPE_INFO
  bool collation = false;                                  ///< follows, since TDS 7.1
};

const Shape &shape_of(TypeId id) {
  using enum Shape::Length;
  using Extra = Shape::Extra;
  static const std::map<TypeId, Shape> shapes = {
      {TypeId::null, {.length = fixed, .size = 0}},
      {TypeId::int1, {.length = fixed, .size = 1}},
      {TypeId::bit, {.length = fixed, .size = 1}},
      {TypeId::int2, {.length = fixed, .size = 2}},
      {TypeId::int4, {.length = fixed, .size = 4}},
      {TypeId::int8, {.length = fixed, .size = 8}},
      {TypeId::smalldatetime, {.length = fixed, .size = 4}},
      {TypeId::real, {.length = fixed, .size = 4}},
      {TypeId::smallmoney, {.length = fixed, .size = 4}},
      {TypeId::money, {.length = fixed, .size = 8}},
      {TypeId::datetime, {.length = fixed, .size = 8}},
      {TypeId::float8, {.length = fixed, .size = 8}},
      {TypeId::intn, {.length = one_byte, .extra = Extra::size}},
      {TypeId::bitn, {.length = one_byte, .extra = Extra::size}},
      {TypeId::guid, {.length = one_byte, .extra = Extra::size}},
      {TypeId::floatn, {.length = one_byte, .extra = Extra::size}},
      {TypeId::moneyn, {.length = one_byte, .extra = Extra::size}},
      {TypeId::datetimn, {.length = one_byte, .extra = Extra::size}},
      {TypeId::old_varbinary, {.length = one_byte, .extra = Extra::size}},
      {TypeId::old_varchar, {.length = one_byte, .extra = Extra::size}},
      {TypeId::old_binary, {.length = one_byte, .extra = Extra::size}},
      {TypeId::old_char, {.length = one_byte, .extra = Extra::size}},
      {TypeId::date, {.length = one_byte}},
      {TypeId::time, {.length = one_byte, .extra = Extra::scale}},
      {TypeId::datetime2, {.length = one_byte, .extra = Extra::scale}},
      {TypeId::datetimeoffset, {.length = one_byte, .extra = Extra::scale}},
      {TypeId::decimal, {.length = one_byte, .extra = Extra::decimal}},
      {TypeId::numeric, {.length = one_byte, .extra = Extra::decimal}},
      {TypeId::varbinary, {.length = two_bytes, .extra = Extra::size}},
      {TypeId::binary, {.length = two_bytes, .extra = Extra::size}},
      {TypeId::varchar, {.length = two_bytes, .extra = Extra::size, .collation = true}},
      {TypeId::character, {.length = two_bytes, .extra = Extra::size, .collation = true}},
      {TypeId::nvarchar, {.length = two_bytes, .extra = Extra::size, .collation = true}},
      {TypeId::nchar, {.length = two_bytes, .extra = Extra::size, .collation = true}},
      {TypeId::text, {.length = four_bytes, .extra = Extra::size, .collation = true}},
      {TypeId::ntext, {.length = four_bytes, .extra = Extra::size, .collation = true}},
      {TypeId::image, {.length = four_bytes, .extra = Extra::size}},
      {TypeId::variant, {.length = four_bytes, .extra = Extra::size}},
      {TypeId::udt, {.length = chunks}},
      {TypeId::xml, {.length = chunks}},
  };
  const auto shape = shapes.find(id);
  if (shape == shapes.end())
    throw Refusal{.text =
                      fmt::format("the lab does not know parameters of type 0x{:02X}", static_cast<int>(id))};
  return shape->second;
}

tds::Bytes copy(tds::ByteView bytes) { return {bytes.begin(), bytes.end()}; }

/// The chunks of a PLP value (MS-TDS 2.2.5.2.3), joined.
Data read_chunks(tds::Reader &in) {
  constexpr std::uint64_t null = ~std::uint64_t{0};
  if (need(in.u64_le("PLP length")) == null) return std::nullopt;
  tds::Bytes joined;
  while (const auto size = need(in.u32_le("PLP chunk length"))) {
    const auto chunk = need(in.take(size, "PLP chunk"));
    joined.insert(joined.end(), chunk.begin(), chunk.end());
  }
  return joined;
}

void append_chunks(tds::Writer &out, const Data &data) {
  if (!data) return out.u64_le(~std::uint64_t{0});
  out.u64_le(data->size());
  if (!data->empty()) {
    out.u32_le(static_cast<std::uint32_t>(data->size()));
    out.append(*data);
  }
  out.u32_le(0);
}

constexpr std::size_t text_pointer_size = 16;
constexpr std::size_t timestamp_size = 8;

/// The names in a TYPE_INFO of XML (a schema, if any) and of a CLR type, which differs between parameters and
/// columns in its first field.
tds::Bytes read_names(tds::Reader &in, TypeId id) {
  const auto whole = in.rest();
  const auto start = in.offset();
  const auto b_varchar = [&] { need(in.utf16(need(in.u8("name length")), "name")); };
  const auto us_varchar = [&] { need(in.utf16(need(in.u16_le("name length")), "name")); };
  if (id == TypeId::udt) {
    b_varchar(), b_varchar(), b_varchar(); // database, schema, type
  } else {
    if (!need(in.u8("SCHEMA_PRESENT"))) return {};
    b_varchar(), b_varchar(), us_varchar();
  }
  return copy(whole.first(in.offset() - start));
}

std::uint32_t number_in(const std::vector<std::string> &arguments, std::size_t index, std::uint32_t otherwise,
                        std::uint32_t most) {
  if (index >= arguments.size()) return otherwise;
  std::uint32_t value = 0;
  const auto &text = arguments[index];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most)
    throw Refusal{
        .number = 1001, .severity = 15, .text = fmt::format("The size ({}) is not allowed here.", text)};
  return value;
}

Type sized(TypeId id, std::uint32_t size) { return {.id = id, .size = size}; }
Type scaled(TypeId id, std::uint8_t scale) { return {.id = id, .size = 0, .scale = scale}; }

/// Bytes of a value, by its precision: sign and magnitude.
std::uint32_t decimal_size(std::uint32_t precision) {
  return precision <= 9 ? 5 : precision <= 19 ? 9 : precision <= 28 ? 13 : 17;
}

} // namespace

bool Type::text() const {
  return shape_of(id).collation || id == TypeId::old_varchar || id == TypeId::old_char;
}
bool Type::wide() const {
  return id == TypeId::nvarchar || id == TypeId::nchar || id == TypeId::ntext || id == TypeId::xml;
}
bool Type::bytes() const {
  return id == TypeId::varbinary || id == TypeId::binary || id == TypeId::image || id == TypeId::udt ||
         id == TypeId::old_binary || id == TypeId::old_varbinary;
}
bool Type::whole() const {
  return id == TypeId::intn || id == TypeId::bitn || id == TypeId::int1 || id == TypeId::int2 ||
         id == TypeId::int4 || id == TypeId::int8 || id == TypeId::bit;
}
bool Type::chunked() const {
  const auto length = shape_of(id).length;
  return length == Shape::Length::chunks || (length == Shape::Length::two_bytes && size == max_size);
}
bool Type::pointed() const { return id == TypeId::text || id == TypeId::ntext || id == TypeId::image; }

Type read_type(tds::Reader &in, tds::Version version) {
  Type type{.id = static_cast<TypeId>(need(in.u8("TYPE_INFO"))), .size = 0};
  if (static_cast<std::uint8_t>(type.id) == 0xF3)
    throw Refusal{.text = "the lab does not take table-valued parameters"};
  const auto &shape = shape_of(type.id);
  type.size = static_cast<std::uint32_t>(shape.size);
  switch (shape.extra) {
  case Shape::Extra::none:
    break;
  case Shape::Extra::scale:
    type.scale = need(in.u8("scale"));
    if (type.scale > 7) throw Refusal{.text = "the lab cannot read this request: a scale above 7"};
    break;
  case Shape::Extra::decimal:
    type.size = need(in.u8("size"));
    type.precision = need(in.u8("precision"));
    type.scale = need(in.u8("scale"));
    if (type.precision > 38 || type.scale > type.precision)
      throw Refusal{.text = "the lab cannot read this request: a precision or scale that cannot be"};
    break;
  case Shape::Extra::size:
    type.size = shape.length == Shape::Length::one_byte    ? need(in.u8("size"))
                : shape.length == Shape::Length::two_bytes ? need(in.u16_le("size"))
                                                           : need(in.u32_le("size"));
  }
  if (shape.collation && version.generation() >= 71)
    std::ranges::copy(need(in.take(type.collation.size(), "collation")), type.collation.begin());
  if (shape.length == Shape::Length::chunks) type.names = read_names(in, type.id);
  return type;
}

void append_type(tds::Writer &out, const Type &type, tds::Version version) {
  const auto &shape = shape_of(type.id);
  out.u8(static_cast<std::uint8_t>(type.id));
  switch (shape.extra) {
  case Shape::Extra::none:
    break;
  case Shape::Extra::scale:
    out.u8(type.scale);
    break;
  case Shape::Extra::decimal:
    out.u8(static_cast<std::uint8_t>(type.size));
    out.u8(type.precision);
    out.u8(type.scale);
    break;
  case Shape::Extra::size:
    shape.length == Shape::Length::one_byte    ? out.u8(static_cast<std::uint8_t>(type.size))
    : shape.length == Shape::Length::two_bytes ? out.u16_le(static_cast<std::uint16_t>(type.size))
                                               : out.u32_le(type.size);
  }
  if (shape.collation && version.generation() >= 71) out.append(type.collation);
  if (type.id ==
      TypeId::
          udt) { // a column says, before the names that a parameter has, how large; behind them, its assembly
    out.u16_le(max_size);
    out.append(type.names);
    out.u16_le(0);
  } else if (shape.length == Shape::Length::chunks) {
    type.names.empty() ? out.u8(0) : out.append(type.names);
  }
}

Data read_data(tds::Reader &in, const Type &type, Place place) {
  const auto taken = [&](std::size_t size) { return copy(need(in.take(size, "value"))); };
  if (type.chunked()) return read_chunks(in);
  if (place == Place::row && type.pointed()) {
    const auto pointer = need(in.u8("text pointer length"));
    if (pointer == 0) return std::nullopt;
    need(in.take(pointer, "text pointer"));
    need(in.take(timestamp_size, "timestamp"));
  }
  switch (const auto &shape = shape_of(type.id); shape.length) {
  case Shape::Length::fixed:
    return type.id == TypeId::null ? Data() : taken(shape.size);
  case Shape::Length::one_byte: {
    const auto size = need(in.u8("value length"));
    return size ? Data(taken(size)) : Data();
  }
  case Shape::Length::two_bytes: {
    const auto size = need(in.u16_le("value length"));
    return size != 0xFFFF ? Data(taken(size)) : Data();
  }
  case Shape::Length::four_bytes: {
    const auto size = need(in.u32_le("value length"));
    if (type.id == TypeId::variant && size == 0) return std::nullopt;
    return size != 0xFFFFFFFF ? Data(taken(size)) : Data();
  }
  case Shape::Length::chunks:
    break;
  }
  return std::nullopt;
}

void append_data(tds::Writer &out, const Type &type, const Data &data, Place place) {
  if (type.chunked()) return append_chunks(out, data);
  if (place == Place::row && type.pointed()) {
    out.u8(data ? text_pointer_size : 0);
    if (!data) return;
    out.append(
        tds::Bytes(text_pointer_size + timestamp_size, 0x64)); // not zero: some clients take that for NULL
  }
  switch (const auto &shape = shape_of(type.id); shape.length) {
  case Shape::Length::fixed:
    out.append(data ? *data : tds::Bytes(shape.size)); // what has no NULL is zero
    return;
  case Shape::Length::one_byte:
    out.u8(data ? static_cast<std::uint8_t>(data->size()) : 0);
    break;
  case Shape::Length::two_bytes:
    out.u16_le(data ? static_cast<std::uint16_t>(data->size()) : 0xFFFF);
    break;
  case Shape::Length::four_bytes:
    out.u32_le(data ? static_cast<std::uint32_t>(data->size()) : type.id == TypeId::variant ? 0 : 0xFFFFFFFF);
    break;
  case Shape::Length::chunks:
    return;
  }
  if (data) out.append(*data);
}

Type declared_type(std::string_view written, const std::vector<std::string> &arguments) {
  const auto name = lower_case(written);
  static const std::map<std::string_view, Type> plain = {
      {"bit", sized(TypeId::bitn, 1)},
      {"tinyint", sized(TypeId::intn, 1)},
      {"smallint", sized(TypeId::intn, 2)},
      {"int", sized(TypeId::intn, 4)},
      {"integer", sized(TypeId::intn, 4)},
      {"bigint", sized(TypeId::intn, 8)},
      {"real", sized(TypeId::floatn, 4)},
      {"smallmoney", sized(TypeId::moneyn, 4)},
      {"money", sized(TypeId::moneyn, 8)},
      {"smalldatetime", sized(TypeId::datetimn, 4)},
      {"datetime", sized(TypeId::datetimn, 8)},
      {"date", scaled(TypeId::date, 0)},
      {"uniqueidentifier", sized(TypeId::guid, 16)},
      {"text", sized(TypeId::text, pointed_size)},
      {"ntext", sized(TypeId::ntext, pointed_size - 1)},
      {"image", sized(TypeId::image, pointed_size)},
      {"xml", sized(TypeId::xml, 0)},
      {"sql_variant", sized(TypeId::variant, 8009)},
      {"sysname", sized(TypeId::nvarchar, 256)},
      {"timestamp", sized(TypeId::binary, 8)},
      {"rowversion", sized(TypeId::binary, 8)},
  };
  if (const auto known = plain.find(name); known != plain.end()) return known->second;
  if (name == "float" || name == "double")
    return sized(TypeId::floatn, number_in(arguments, 0, 53, 53) <= 24 ? 4 : 8);
  if (name == "decimal" || name == "dec" || name == "numeric") {
    const auto precision = std::max(number_in(arguments, 0, 18, 38), 1u);
    return {.id = name == "numeric" ? TypeId::numeric : TypeId::decimal,
            .size = decimal_size(precision),
            .precision = static_cast<std::uint8_t>(precision),
            .scale = static_cast<std::uint8_t>(number_in(arguments, 1, 0, precision))};
  }
  if (name == "time" || name == "datetime2" || name == "datetimeoffset")
    return scaled(name == "time"        ? TypeId::time
                  : name == "datetime2" ? TypeId::datetime2
                                        : TypeId::datetimeoffset,
                  static_cast<std::uint8_t>(number_in(arguments, 0, 7, 7)));
  static const std::map<std::string_view, TypeId> strings = {
      {"char", TypeId::character},     {"varchar", TypeId::varchar}, {"nchar", TypeId::nchar},
      {"nvarchar", TypeId::nvarchar},  {"binary", TypeId::binary},   {"varbinary", TypeId::varbinary},
      {"character", TypeId::character}};
  const auto string = strings.find(name);
  if (string == strings.end())
    throw Refusal{.number = 2715, .text = fmt::format("Cannot find data type {}.", written)};
  if (!arguments.empty() && lower_case(arguments[0]) == "max") return sized(string->second, max_size);
  const bool wide = string->second == TypeId::nchar || string->second == TypeId::nvarchar;
  const auto length = std::max(number_in(arguments, 0, 1, wide ? 4000 : 8000), 1u);
  return sized(string->second, wide ? length * 2 : length);
}

std::string type_name(const Type &type) {
  const auto string = [&](std::string_view name) {
    if (type.size == max_size) return fmt::format("{}(max)", name);
    return fmt::format("{}({})", name, type.wide() ? type.size / 2 : type.size);
  };
  const auto by_size = [&](std::initializer_list<std::pair<std::uint32_t, std::string_view>> names) {
    for (const auto &[size, name] : names)
      if (size == type.size) return std::string(name);
    return std::string("?");
  };
  switch (type.id) {
  case TypeId::intn:
    return by_size({{1, "tinyint"}, {2, "smallint"}, {4, "int"}, {8, "bigint"}});
  case TypeId::floatn:
    return by_size({{4, "real"}, {8, "float"}});
  case TypeId::moneyn:
    return by_size({{4, "smallmoney"}, {8, "money"}});
  case TypeId::datetimn:
    return by_size({{4, "smalldatetime"}, {8, "datetime"}});
  case TypeId::decimal:
    return fmt::format("decimal({},{})", type.precision, type.scale);
  case TypeId::numeric:
    return fmt::format("numeric({},{})", type.precision, type.scale);
  case TypeId::time:
    return fmt::format("time({})", type.scale);
  case TypeId::datetime2:
    return fmt::format("datetime2({})", type.scale);
  case TypeId::datetimeoffset:
    return fmt::format("datetimeoffset({})", type.scale);
  case TypeId::varchar:
    return string("varchar");
  case TypeId::character:
    return string("char");
  case TypeId::nvarchar:
    return string("nvarchar");
  case TypeId::nchar:
    return string("nchar");
  case TypeId::varbinary:
    return string("varbinary");
  case TypeId::binary:
    return string("binary");
  default:
    break;
  }
  static const std::map<TypeId, std::string_view> names = {
      {TypeId::int1, "tinyint"},       {TypeId::bit, "bit"},
      {TypeId::bitn, "bit"},           {TypeId::int2, "smallint"},
      {TypeId::int4, "int"},           {TypeId::int8, "bigint"},
      {TypeId::real, "real"},          {TypeId::float8, "float"},
      {TypeId::smallmoney, "money"},   {TypeId::money, "money"},
      {TypeId::datetime, "datetime"},  {TypeId::smalldatetime, "smalldatetime"},
      {TypeId::date, "date"},          {TypeId::guid, "uniqueidentifier"},
      {TypeId::text, "text"},          {TypeId::ntext, "ntext"},
      {TypeId::image, "image"},        {TypeId::xml, "xml"},
      {TypeId::variant, "sql_variant"}};
  const auto name = names.find(type.id);
  return name == names.end() ? "?" : std::string(name->second);
}

Type type_for(const Type &type, tds::Version version) {
  const auto text = [](std::uint32_t characters) { return sized(TypeId::nvarchar, characters * 2); };
  if (version.generation() < 73) {
    if (type.id == TypeId::date) return text(10);
    if (type.id == TypeId::time) return text(16);
    if (type.id == TypeId::datetime2) return text(27);
    if (type.id == TypeId::datetimeoffset) return text(34);
  }
  if (version.generation() < 72) {
    if (type.id == TypeId::xml) return sized(TypeId::ntext, pointed_size - 1);
    if (type.chunked()) {
      auto pointed = sized(type.wide()    ? TypeId::ntext
                           : type.bytes() ? TypeId::image
                                          : TypeId::text,
                           pointed_size);
      pointed.collation = type.collation;
      return pointed;
    }
  }
  if (version.generation() < 71 && type.id == TypeId::variant) return text(4000);
  return type;
}

} // namespace lab

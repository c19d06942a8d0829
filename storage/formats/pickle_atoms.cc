// Opcodes that push a plain value.
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "storage/formats/pickle_interpreter.h"
#include "storage/formats/pickle_text.h"

namespace ballast {

template <typename T>
absl::Status PickleInterpreter::Integer() {
  T value = 0;
  if (!in_.Fixed(&value)) return in_.Error();
  return Push(graph_.Int(value));
}

namespace {

// Decimal digits of a two's complement number, little-endian.
std::string Decimal(absl::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  std::vector<uint32_t> chunks;  // of nine digits, the last first
  for (size_t i = bytes.size(); i-- > 0;) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    uint64_t carry = negative ? 0xFF - byte : byte;  // of -1 - value
    for (uint32_t& chunk : chunks) {
      carry += uint64_t{chunk} << 8;
      chunk = static_cast<uint32_t>(carry % 1'000'000'000);
      carry /= 1'000'000'000;
    }
    if (carry > 0) chunks.push_back(static_cast<uint32_t>(carry));
  }
  for (size_t i = 0; negative; ++i) {
    if (i == chunks.size()) chunks.push_back(0);
    if (++chunks[i] < 1'000'000'000) break;
    chunks[i] = 0;
  }
  std::string out = negative ? "-" : "";
  for (size_t i = chunks.size(); i-- > 0;) {
    const std::string digits = absl::StrCat(chunks[i]);
    if (i + 1 < chunks.size()) out.append(9 - digits.size(), '0');
    out += digits;
  }
  return out;
}

}  // namespace

absl::Status PickleInterpreter::PushLong(absl::string_view digits) {
  // As many as kPickleLongBytesMax bytes can make.
  constexpr size_t kDigitsMax = kPickleLongBytesMax * 5 / 2;
  return PushString(PickleKind::kLong, digits.size() <= kDigitsMax ? digits : "");
}

// Two's complement, little-endian; longer forms are fine while the value fits.
absl::Status PickleInterpreter::PushInteger(absl::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  const char fill = negative ? '\xff' : '\0';
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    if (i >= 8 && bytes[i] != fill) {
      return PushLong(bytes.size() <= kPickleLongBytesMax ? Decimal(bytes) : "");
    }
    value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  }
  const bool sign = (value >> 63) != 0;
  if (sign != negative) return PushLong(Decimal(bytes.substr(0, 9)));
  return Push(graph_.Int(static_cast<int64_t>(value)));
}

template <typename T>
absl::Status PickleInterpreter::Long() {
  T size = 0;
  if (!in_.Fixed(&size)) return in_.Error();
  scratch_.clear();
  if (!in_.Append(size, &scratch_)) return in_.Error();
  return PushInteger(scratch_);
}

absl::Status PickleInterpreter::IntText() {
  if (!in_.Line(kPickleNumberBytesMax, &scratch_)) return in_.Error();
  if (scratch_ == "00" || scratch_ == "01") return Push(graph_.Bool(scratch_ == "01"));
  int64_t value = 0;
  absl::string_view text = absl::StripSuffix(scratch_, "\r");
  if (!IsDecimal(text)) return Malformed("INT is not a decimal number");
  return absl::SimpleAtoi(text, &value) ? Push(graph_.Int(value)) : PushLong(text);
}

absl::Status PickleInterpreter::LongText() {
  if (!in_.Line(kPickleNumberBytesMax, &scratch_)) return in_.Error();
  absl::string_view text = scratch_;
  if (!text.empty() && text.back() == 'L') text.remove_suffix(1);
  if (!IsDecimal(text)) return Malformed("LONG is not a decimal number");
  int64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? Push(graph_.Int(value)) : PushLong(text);
}

absl::Status PickleInterpreter::BinFloat() {
  char raw[8];
  if (!in_.Copy(sizeof(raw), raw)) return in_.Error();
  uint64_t bits = 0;
  for (const char c : raw) bits = (bits << 8) | static_cast<unsigned char>(c);
  double value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return Push(graph_.Float(value));
}

absl::Status PickleInterpreter::FloatText() {
  if (!in_.Line(kPickleNumberBytesMax, &scratch_)) return in_.Error();
  double value = 0;
  if (!absl::SimpleAtod(scratch_, &value)) return Malformed("FLOAT is not a number");
  return Push(graph_.Float(value));
}

template <typename T, PickleKind kKind>
absl::Status PickleInterpreter::Text() {
  T size = 0;
  if (!in_.Fixed(&size)) return in_.Error();
  const uint64_t offset = in_.position();
  if (size > in_.buffered()) {
    scratch_.clear();
    if (!in_.Append(size, &scratch_)) return in_.Error();
    char* copy = graph_.NewText(scratch_.size());
    std::memcpy(copy, scratch_.data(), scratch_.size());
    return PushText(kKind, absl::string_view(copy, scratch_.size()), offset);
  }
  char* stored = graph_.NewText(size);
  if (!in_.Copy(size, stored)) return in_.Error();
  return PushText(kKind, absl::string_view(stored, size), offset);
}

absl::Status PickleInterpreter::PushText(PickleKind kind, absl::string_view stored,
                                         uint64_t offset) {
  const PickleRef ref = graph_.Text(kind, stored);
  const bool place = nested_ == NestedFiles::kPlaced && kind == PickleKind::kBytes;
  if (place) graph_.Place(ref, offset);
  return Push(ref);
}

absl::Status PickleInterpreter::PushString(PickleKind kind, absl::string_view text) {
  char* stored = graph_.NewText(text.size());
  std::memcpy(stored, text.data(), text.size());
  return Push(graph_.Text(kind, absl::string_view(stored, text.size())));
}

absl::Status PickleInterpreter::QuotedText() {
  if (!in_.Line(limits_.pickle_bytes_max, &scratch_)) return in_.Error();
  const auto text = ParsePythonString(scratch_);
  if (!text.has_value()) return Malformed("STRING is not a quoted Python string");
  return PushString(PickleKind::kString, *text);
}

absl::Status PickleInterpreter::UnicodeText() {
  if (!in_.Line(limits_.pickle_bytes_max, &scratch_)) return in_.Error();
  const auto text = ParseRawUnicode(scratch_);
  if (!text.has_value()) return Malformed("UNICODE has a bad escape");
  return PushString(PickleKind::kString, *text);
}

void PickleInterpreter::AddAtoms(Table* table) {
  (*table)['N'] = {"NONE", &PickleInterpreter::None};
  (*table)[0x88] = {"NEWTRUE", &PickleInterpreter::True};
  (*table)[0x89] = {"NEWFALSE", &PickleInterpreter::False};
  (*table)['K'] = {"BININT1", &PickleInterpreter::Integer<uint8_t>};
  (*table)['M'] = {"BININT2", &PickleInterpreter::Integer<uint16_t>};
  (*table)['J'] = {"BININT", &PickleInterpreter::Integer<int32_t>};
  (*table)[0x8a] = {"LONG1", &PickleInterpreter::Long<uint8_t>};
  (*table)[0x8b] = {"LONG4", &PickleInterpreter::Long<uint32_t>};
  (*table)['I'] = {"INT", &PickleInterpreter::IntText};
  (*table)['L'] = {"LONG", &PickleInterpreter::LongText};
  (*table)['G'] = {"BINFLOAT", &PickleInterpreter::BinFloat};
  (*table)['F'] = {"FLOAT", &PickleInterpreter::FloatText};
  (*table)['S'] = {"STRING", &PickleInterpreter::QuotedText};
  (*table)['V'] = {"UNICODE", &PickleInterpreter::UnicodeText};
  (*table)['U'] = {"SHORT_BINSTRING", &PickleInterpreter::Text<uint8_t, PickleKind::kString>};
  (*table)['T'] = {"BINSTRING", &PickleInterpreter::Text<uint32_t, PickleKind::kString>};
  (*table)[0x8c] = {"SHORT_BINUNICODE", &PickleInterpreter::Text<uint8_t, PickleKind::kString>};
  (*table)['X'] = {"BINUNICODE", &PickleInterpreter::Text<uint32_t, PickleKind::kString>};
  (*table)[0x8d] = {"BINUNICODE8", &PickleInterpreter::Text<uint64_t, PickleKind::kString>};
  (*table)['C'] = {"SHORT_BINBYTES", &PickleInterpreter::Text<uint8_t, PickleKind::kBytes>};
  (*table)['B'] = {"BINBYTES", &PickleInterpreter::Text<uint32_t, PickleKind::kBytes>};
  (*table)[0x8e] = {"BINBYTES8", &PickleInterpreter::Text<uint64_t, PickleKind::kBytes>};
  (*table)[0x96] = {"BYTEARRAY8", &PickleInterpreter::Text<uint64_t, PickleKind::kBytes>};
}

}  // namespace ballast

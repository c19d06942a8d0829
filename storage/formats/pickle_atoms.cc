// Opcodes that push a plain value.
#include <cstring>
#include <string>

#include "absl/strings/numbers.h"
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

// Two's complement, little-endian; longer forms are fine while the value fits.
absl::Status PickleInterpreter::PushInteger(absl::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  const char fill = negative ? '\xff' : '\0';
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    if (i >= 8 && bytes[i] != fill) return Push(graph_.Long());
    value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  }
  const bool sign = (value >> 63) != 0;
  if (sign != negative) return Push(graph_.Long());
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
  return Push(absl::SimpleAtoi(text, &value) ? graph_.Int(value) : graph_.Long());
}

absl::Status PickleInterpreter::LongText() {
  if (!in_.Line(kPickleNumberBytesMax, &scratch_)) return in_.Error();
  absl::string_view text = scratch_;
  if (!text.empty() && text.back() == 'L') text.remove_suffix(1);
  if (!IsDecimal(text)) return Malformed("LONG is not a decimal number");
  int64_t value = 0;
  return Push(absl::SimpleAtoi(text, &value) ? graph_.Int(value) : graph_.Long());
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
  if (size > in_.buffered()) {
    scratch_.clear();
    if (!in_.Append(size, &scratch_)) return in_.Error();
    return PushString(kKind, scratch_);
  }
  char* stored = graph_.NewText(size);
  if (!in_.Copy(size, stored)) return in_.Error();
  return Push(graph_.Text(kKind, absl::string_view(stored, size)));
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

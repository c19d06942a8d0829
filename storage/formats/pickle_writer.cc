#include "storage/formats/pickle_writer.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ballast {
namespace {

void PutLittleEndian(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = 0; i < bytes; ++i) *out += static_cast<char>(value >> (8 * i));
}

}  // namespace

PickleWriter::PickleWriter() : out_("\x80\x02") {}

void PickleWriter::Memoize() {
  const bool small = memo_ < 256;
  out_ += small ? 'q' : 'r';
  PutLittleEndian(memo_++, small ? 1 : 4, &out_);
}

void PickleWriter::Get(uint32_t index) {
  const bool small = index < 256;
  out_ += small ? 'h' : 'j';
  PutLittleEndian(index, small ? 1 : 4, &out_);
}

void PickleWriter::Int(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  if (value >= 0 && value < 256) {
    out_ += 'K';
    PutLittleEndian(bits, 1, &out_);
  } else if (value >= 0 && value < 65536) {
    out_ += 'M';
    PutLittleEndian(bits, 2, &out_);
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    out_ += 'J';
    PutLittleEndian(bits, 4, &out_);
  } else {
    out_ += "\x8a\x08";
    PutLittleEndian(bits, 8, &out_);
  }
}

void PickleWriter::Float(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  out_ += 'G';
  for (int shift = 56; shift >= 0; shift -= 8) out_ += static_cast<char>(bits >> shift);
}

void PickleWriter::String(absl::string_view text) {
  out_ += 'X';
  PutLittleEndian(text.size(), 4, &out_);
  out_.append(text.data(), text.size());
  Memoize();
}

void PickleWriter::Interned(absl::string_view text) {
  const auto [it, added] = known_.try_emplace(text, memo_);
  if (!added) return Get(it->second);
  String(text);
}

void PickleWriter::Global(absl::string_view module, absl::string_view name) {
  // A newline is in no interned string, so the two kinds cannot meet.
  const std::string lines = absl::StrCat(module, "\n", name, "\n");
  const auto [it, added] = known_.try_emplace(lines, memo_);
  if (!added) return Get(it->second);
  absl::StrAppend(&out_, "c", lines);
  Memoize();
}

void PickleWriter::EmptyCall(absl::string_view module, absl::string_view name) {
  Global(module, name);
  out_ += ')';
  Reduce();
}

void PickleWriter::EmptyDict() {
  out_ += '}';
  Memoize();
}

void PickleWriter::EmptyList() {
  out_ += ']';
  Memoize();
}

void PickleWriter::Tuple(size_t count) {
  if (count == 0) {
    out_ += ')';
    return;  // the empty tuple is never memoized
  }
  out_ += count == 1 ? '\x85' : count == 2 ? '\x86' : count == 3 ? '\x87' : 't';
  Memoize();
}

void PickleWriter::Reduce() {
  out_ += 'R';
  Memoize();
}

std::string PickleWriter::Finish() {
  out_ += '.';
  return std::move(out_);
}

}  // namespace ballast

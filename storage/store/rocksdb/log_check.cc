#include "storage/store/rocksdb/log_check.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr uint64_t kBlock = 32u << 10;
constexpr size_t kHeader = 7;
constexpr uint8_t kLastType = 4;  // full, first, middle, last

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
    table[i] = crc;
  }
  return table;
}

// RocksDB's own CRC-32C is not among its public headers.
uint32_t MaskedCrc32c(absl::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeTable();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ crc >> 8;
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

uint64_t At(absl::string_view bytes, size_t offset, size_t width) {
  uint64_t value = 0;
  for (size_t i = width; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return value;
}

// Whether `bytes` begin with a whole record whose payload has this length.
bool IsRecord(absl::string_view bytes, uint64_t length) {
  if (bytes.size() < kHeader + length) return false;
  const auto type = static_cast<uint8_t>(bytes[6]);
  if (type == 0 || type > kLastType) return false;
  return MaskedCrc32c(bytes.substr(6, 1 + length)) == At(bytes, 0, 4);
}

// Whether the record that `tail` begins with is damaged, and not unfinished: with the
// length that is left it is whole, or there is a whole one behind it.
bool IsDamaged(absl::string_view tail) {
  if (IsRecord(tail, tail.size() - kHeader)) return true;
  for (size_t at = 1; at + kHeader <= tail.size(); ++at) {
    const absl::string_view rest = tail.substr(at);
    const uint64_t length = At(rest, 4, 2);
    if (length > 0 && IsRecord(rest, length)) return true;
  }
  return false;
}

// Where the last block has a record that is longer than the file, or (npos) nowhere.
size_t UnfinishedAt(absl::string_view block) {
  size_t at = 0;
  while (at + kHeader <= block.size()) {
    const uint64_t length = At(block, at + 4, 2);
    if (length > block.size() - at - kHeader) return at;
    if (length == 0 && block[at + 6] == 0) return at;
    at += kHeader + length;
  }
  return absl::string_view::npos;
}

absl::Status CheckLog(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, OpenFile(path));
  const uint64_t start = file->size_bytes() / kBlock * kBlock;
  std::string block(file->size_bytes() - start, '\0');
  if (!block.empty()) RETURN_IF_ERROR(file->ReadAt(start, absl::MakeSpan(block)), path);
  const size_t at = UnfinishedAt(block);
  if (at == absl::string_view::npos || !IsDamaged(absl::string_view(block).substr(at))) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat(Printable(path), ": the length of the record at offset ", start + at,
                   " is damaged: there are whole records behind what it says"));
}

}  // namespace

absl::Status CheckLogs(const std::string& dir) {
  namespace fs = std::filesystem;
  std::error_code error;
  bool has_log = false;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!absl::EndsWith(name, ".log") && !absl::StartsWith(name, "MANIFEST-")) continue;
    RETURN_IF_ERROR(CheckLog(it->path().string()));
    has_log = has_log || absl::EndsWith(name, ".log");
  }
  if (error) return ErrnoStatus(error.value(), absl::StrCat("reading ", Printable(dir)));
  // RocksDB deletes one only when the next one is there.
  if (!has_log) return absl::DataLossError(absl::StrCat(Printable(dir), ": holds no log (*.log)"));
  return absl::OkStatus();
}

}  // namespace ballast

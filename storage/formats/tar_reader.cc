#include "storage/formats/tar_reader.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr uint64_t kBlock = 512;
constexpr uint64_t kPaxBytesMax = 64u << 10;
using Block = std::array<char, kBlock>;

absl::string_view Field(const Block& block, size_t offset, size_t size) {
  return absl::string_view(block.data() + offset, size);
}

// Up to the first zero byte.
std::string Text(absl::string_view field) { return std::string(field.substr(0, field.find('\0'))); }

bool IsZero(absl::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

std::optional<uint64_t> Number(absl::string_view field) {
  uint64_t value = 0;
  if (field[0] == '\x80') {
    for (const char c : field.substr(1)) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  field = field.substr(std::min(field.find_first_not_of(' '), field.size()));
  const size_t digits = std::min(field.find_first_not_of("01234567"), field.size());
  if (digits == 0) return std::nullopt;
  for (const char c : field.substr(0, digits)) value = value << 3 | (c - '0');  // 12 digits
  const bool clean = field.substr(digits).find_first_not_of(absl::string_view(" \0", 2)) ==
                     absl::string_view::npos;
  return clean ? std::optional<uint64_t>(value) : std::nullopt;
}

// The sum of all bytes, with those of the checksum taken for spaces.
uint64_t Checksum(const Block& block) {
  constexpr size_t kFirst = 148;
  constexpr size_t kLast = 155;
  uint64_t sum = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    sum += i < kFirst || i > kLast ? static_cast<unsigned char>(block[i]) : ' ';
  }
  return sum;
}

bool LeavesFolder(absl::string_view name) {
  if (absl::StartsWith(name, "/") || absl::StrContains(name, '\\')) return true;
  for (const absl::string_view step : absl::StrSplit(name, '/')) {
    if (step == "..") return true;
  }
  return false;
}

class TarScan {
 public:
  TarScan(const ByteSource& source, const Limits& limits) : source_(source), limits_(limits) {}
  absl::StatusOr<std::vector<TarMember>> Run();

 private:
  absl::Status ReadBlock(Block* block);
  absl::Status ReadMember(const Block& block);
  absl::Status CheckHeader(const Block& block) const;
  absl::Status CheckMember(char type, const std::string& name) const;
  absl::Status ReadPax(uint64_t size);
  absl::Status TakePax(absl::string_view key, absl::string_view value);
  absl::Status CheckEnd();
  template <typename... A>
  std::string Where(const A&... a) const {
    return absl::StrCat("tar: header at byte ", header_, ": ", a...);
  }

  const ByteSource& source_;  // Must outlive this.
  const Limits& limits_;      // Must outlive this.
  uint64_t position_ = 0;
  uint64_t header_ = 0;  // of the member that is being read
  std::vector<TarMember> members_;
  bool after_pax_ = false;
  std::optional<std::string> pax_path_;
  std::optional<uint64_t> pax_size_;
};

absl::Status TarScan::ReadBlock(Block* block) {
  if (!InRange(position_, kBlock, source_.size_bytes())) {
    return TruncatedError("tar: input ends at byte ", source_.size_bytes(),
                          ", want a header or the end of the archive at byte ", position_);
  }
  header_ = position_;
  position_ += kBlock;
  return source_.ReadAt(header_, absl::MakeSpan(*block));
}

absl::Status TarScan::CheckHeader(const Block& block) const {
  if (!absl::StartsWith(Field(block, 257, 6), "ustar")) {
    return MalformedError(Where("there is no ustar in it"));
  }
  const std::optional<uint64_t> stated = Number(Field(block, 148, 8));
  if (stated == Checksum(block)) return absl::OkStatus();
  return ChecksumError(Where("checksum is ", stated ? absl::StrCat(*stated) : "no number",
                             ", want ", Checksum(block)));
}

absl::Status TarScan::CheckMember(char type, const std::string& name) const {
  if (type >= '1' && type <= '6' && type != '5') {
    return UnsafeError(
        Where("member ", Printable(name), " is a link or a device, want files and folders"));
  }
  if (type != '0' && type != '\0' && type != '5') {
    return UnsupportedError(Where("member ", Printable(name), " is of type ",
                                  Printable(absl::string_view(&type, 1)), ", want a plain file"));
  }
  if (!LeavesFolder(name)) return absl::OkStatus();
  return UnsafeError(
      Where("name of a member is ", Printable(name), ", want one inside the folder"));
}

absl::Status TarScan::TakePax(absl::string_view key, absl::string_view value) {
  if (key == "path") {
    pax_path_ = std::string(value);
  } else if (key == "size") {
    uint64_t size = 0;
    if (!absl::SimpleAtoi(value, &size)) {
      return MalformedError(Where("pax size is ", Printable(value), ", want a number"));
    }
    pax_size_ = size;
  } else if (absl::StartsWith(key, "GNU.sparse")) {
    return UnsupportedError(Where("member is sparse, want a plain file"));
  }
  return absl::OkStatus();
}

absl::Status TarScan::ReadPax(uint64_t size) {
  if (after_pax_) return MalformedError(Where("two pax headers for one member"));
  after_pax_ = true;
  if (size > kPaxBytesMax) {
    return LimitError(Where("pax header is ", size, " bytes long, want at most ", kPaxBytesMax));
  }
  std::string text(size, '\0');
  if (size > 0) RETURN_IF_ERROR(source_.ReadAt(position_, absl::MakeSpan(&text[0], size)));
  absl::string_view left = text;
  while (!left.empty()) {
    const size_t space = std::min(left.find(' '), left.size());
    uint64_t length = 0;
    const bool number = absl::SimpleAtoi(left.substr(0, space), &length);
    if (!number || length <= space + 1 || length > left.size() || left[length - 1] != '\n') {
      return MalformedError(Where("pax record is no \"<length> <key>=<value>\\n\""));
    }
    const absl::string_view record = left.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == absl::string_view::npos) return MalformedError(Where("pax record without ="));
    RETURN_IF_ERROR(TakePax(record.substr(0, equals), record.substr(equals + 1)));
    left.remove_prefix(length);
  }
  return absl::OkStatus();
}

absl::Status TarScan::ReadMember(const Block& block) {
  RETURN_IF_ERROR(CheckHeader(block));
  std::optional<uint64_t> size = Number(Field(block, 124, 12));
  if (pax_size_) size = std::exchange(pax_size_, std::nullopt);
  uint64_t padded = 0;
  if (!size || !CheckedAdd(*size, kBlock - 1, &padded)) {
    return MalformedError(Where("size of a member is no number"));
  }
  padded -= padded % kBlock;
  if (!InRange(position_, padded, source_.size_bytes())) {
    return TruncatedError(Where("member is ", *size, " bytes long and ends behind the input of ",
                                source_.size_bytes(), " bytes"));
  }
  const char type = block[156];
  if (type == 'x') {
    RETURN_IF_ERROR(ReadPax(*size));
    position_ += padded;
    return absl::OkStatus();
  }
  std::string name = Text(Field(block, 0, 100));
  const std::string prefix = Text(Field(block, 345, 155));
  if (!prefix.empty()) name = absl::StrCat(prefix, "/", name);
  if (pax_path_) name = *std::exchange(pax_path_, std::nullopt);
  after_pax_ = false;
  RETURN_IF_ERROR(CheckMember(type, name));
  if (members_.size() >= limits_.entries_max) {
    return LimitError(Where("more than ", limits_.entries_max,
                            " members, want at most "
                            "entries_max"));
  }
  const bool folder = type == '5' || absl::EndsWith(name, "/");
  if (folder && *size > 0) {
    return MalformedError(Where("folder ", Printable(name), " is ", *size, " bytes long, want 0"));
  }
  members_.push_back({std::move(name), position_, *size, !folder});
  position_ += padded;
  return absl::OkStatus();
}

// One block of zeros has been read.
absl::Status TarScan::CheckEnd() {
  if (after_pax_) return MalformedError(Where("archive ends behind a pax header"));
  Block block;
  RETURN_IF_ERROR(ReadBlock(&block));
  position_ -= kBlock;
  std::string piece(64u << 10, '\0');
  while (position_ < source_.size_bytes()) {
    const auto n = std::min<uint64_t>(piece.size(), source_.size_bytes() - position_);
    RETURN_IF_ERROR(source_.ReadAt(position_, absl::MakeSpan(&piece[0], n)));
    if (!IsZero(absl::string_view(piece).substr(0, n))) {
      return MalformedError("tar: bytes other than zero follow the end of the archive at byte ",
                            header_);
    }
    position_ += n;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<TarMember>> TarScan::Run() {
  Block block;
  while (true) {
    RETURN_IF_ERROR(ReadBlock(&block));
    if (IsZero(Field(block, 0, kBlock))) break;
    RETURN_IF_ERROR(ReadMember(block));
  }
  RETURN_IF_ERROR(CheckEnd());
  return std::move(members_);
}

}  // namespace

absl::StatusOr<std::vector<TarMember>> ReadTar(const ByteSource& source, const Limits& limits) {
  return TarScan(source, limits).Run();
}

}  // namespace ballast

#include "client/backup_pack.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "storage/base/checked.h"
#include "storage/base/folder.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr absl::string_view kHead = "BLPACK1\n";
constexpr absl::string_view kTail = "BLPEND1\n";
constexpr uint64_t kEntryBytes = Digest::kBytes + 12;
constexpr uint64_t kFooterBytes = 16 + Digest::kBytes + 8;

void PutNumber(uint64_t value, size_t width, std::string* out) {
  for (size_t i = 0; i < width; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t NumberAt(absl::string_view bytes, size_t offset, size_t width) {
  uint64_t value = 0;
  for (size_t i = width; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return value;
}

// The number of "00000012.pack"; 0 for another name.
uint64_t NumberOfName(absl::string_view name) {
  uint64_t number = 0;
  if (!absl::ConsumeSuffix(&name, ".pack") || name.size() < 8 || name.size() > 12 ||
      name.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(name, &number)) {
    return 0;
  }
  return number;
}

absl::StatusOr<std::string> ReadPart(const ByteSource& file, uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  if (size > 0) RETURN_IF_ERROR(file.ReadAt(offset, absl::MakeSpan(bytes.data(), size)));
  return bytes;
}

// The index, checked against what the end of the file says of it.
absl::StatusOr<std::string> ReadIndex(const ByteSource& file) {
  const uint64_t size = file.size_bytes();
  if (size < kHead.size() + kFooterBytes) return absl::DataLossError("is no whole pack");
  ASSIGN_OR_RETURN(const std::string head, ReadPart(file, 0, kHead.size()));
  ASSIGN_OR_RETURN(const std::string footer, ReadPart(file, size - kFooterBytes, kFooterBytes));
  if (head != kHead || absl::string_view(footer).substr(kFooterBytes - 8) != kTail) {
    return absl::DataLossError("is no whole pack, or of a newer format");
  }
  const uint64_t offset = NumberAt(footer, 0, 8);
  const uint64_t count = NumberAt(footer, 8, 8);
  const uint64_t index_bytes = size - kFooterBytes - std::min(offset, size - kFooterBytes);
  if (offset < kHead.size() || count != index_bytes / kEntryBytes ||
      index_bytes % kEntryBytes != 0) {
    return absl::DataLossError("the end of the pack is damaged");
  }
  ASSIGN_OR_RETURN(std::string index, ReadPart(file, offset, index_bytes));
  if (Sha256Of(index).View() != absl::string_view(footer).substr(16, Digest::kBytes)) {
    return absl::DataLossError("the index fails its SHA-256");
  }
  return index;
}

absl::Status DamagedPack(const std::string& where, absl::string_view problem) {
  return absl::DataLossError(absl::StrCat(
      where, ": ", problem,
      "; put a sound copy of the pack there, or move it away and back up again: what is missing is "
      "fetched"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackWriter>> PackWriter::Create(const std::string& path) {
  ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path, /*overwrite=*/false));
  std::unique_ptr<PackWriter> writer(new PackWriter(std::move(file)));
  RETURN_IF_ERROR(writer->file_->Write(kHead));
  writer->offset_ = kHead.size();
  return writer;
}

absl::Status PackWriter::Add(const Digest& digest, absl::string_view bytes) {
  RETURN_IF_ERROR(file_->Write(bytes));
  blocks_.push_back({digest, offset_, static_cast<uint32_t>(bytes.size())});
  offset_ += bytes.size();
  return absl::OkStatus();
}

absl::Status PackWriter::Commit() {
  std::string index;
  index.reserve(blocks_.size() * kEntryBytes);
  for (const Block& block : blocks_) {
    index.append(block.digest.View().data(), Digest::kBytes);
    PutNumber(block.offset, 8, &index);
    PutNumber(block.size_bytes, 4, &index);
  }
  std::string footer;
  PutNumber(offset_, 8, &footer);
  PutNumber(blocks_.size(), 8, &footer);
  absl::StrAppend(&footer, Sha256Of(index).View(), kTail);
  RETURN_IF_ERROR(file_->Write(index));
  RETURN_IF_ERROR(file_->Write(footer));
  return file_->Commit();
}

absl::StatusOr<std::unique_ptr<PackedBlocks>> PackedBlocks::Open(const std::string& dir,
                                                                 const Limits& limits,
                                                                 Damaged damaged) {
  std::unique_ptr<PackedBlocks> blocks(new PackedBlocks(dir));
  const absl::StatusOr<std::vector<FolderEntry>> entries = ListFolder(dir, limits);
  // Without packs only what needs their blocks is damaged, and Read says so.
  if (absl::IsNotFound(entries.status())) return blocks;
  RETURN_IF_ERROR(entries.status());
  for (const FolderEntry& entry : *entries) {
    if (entry.is_folder || NumberOfName(entry.name) == 0) continue;
    const absl::Status added = blocks->AddPack(entry.name);
    if (absl::IsDataLoss(added) && damaged == Damaged::kLeftOut) {
      blocks->left_out_.Update(added);
    } else {
      RETURN_IF_ERROR(added);
    }
  }
  return blocks;
}

absl::Status PackedBlocks::AddPack(const std::string& name) {
  Pack pack;
  pack.path = absl::StrCat(dir_, "/", name);
  const std::string where = Printable(pack.path);
  ASSIGN_OR_RETURN(pack.file, OpenFile(pack.path));
  const absl::StatusOr<std::string> read = ReadIndex(*pack.file);
  if (absl::IsDataLoss(read.status())) return DamagedPack(where, read.status().message());
  RETURN_IF_ERROR(read.status(), where);
  const std::string& index = *read;
  std::vector<std::pair<Digest, Place>> places;
  places.reserve(index.size() / kEntryBytes);
  const uint64_t data_end = pack.file->size_bytes() - kFooterBytes - index.size();
  for (size_t at = 0; at < index.size(); at += kEntryBytes) {
    const absl::string_view entry = absl::string_view(index).substr(at, kEntryBytes);
    Place place;
    place.pack = static_cast<uint32_t>(packs_.size());
    place.offset = NumberAt(entry, Digest::kBytes, 8);
    place.size_bytes = static_cast<uint32_t>(NumberAt(entry, Digest::kBytes + 8, 4));
    if (place.size_bytes == 0 || place.size_bytes > kBlockBytes ||
        !InRange(place.offset, place.size_bytes, data_end)) {
      return DamagedPack(
          where, absl::StrCat("a block of the index is ", place.size_bytes, " bytes at offset ",
                              place.offset, ", want one within the file"));
    }
    places.emplace_back(*Digest::FromBytes(entry.substr(0, Digest::kBytes)), place);
  }
  for (const auto& [digest, place] : places) places_.try_emplace(digest, place);
  packs_.push_back(std::move(pack));
  last_number_ = std::max(last_number_, NumberOfName(name));
  return absl::OkStatus();
}

std::string PackedBlocks::NextName() const {
  return absl::StrFormat("%08d.pack", last_number_ + 1);
}

absl::StatusOr<std::string> PackedBlocks::Read(const Digest& digest) const {
  const auto it = places_.find(digest);
  if (it == places_.end()) {
    return absl::DataLossError(
        absl::StrCat(Printable(dir_), ": block ", digest.Hex(), " is in none of the packs",
                     left_out_.ok() ? "" : ", and one is damaged: ", left_out_.message()));
  }
  const Place& place = it->second;
  const Pack& pack = packs_[place.pack];
  ASSIGN_OR_RETURN(std::string bytes, ReadPart(*pack.file, place.offset, place.size_bytes),
                   Printable(pack.path));
  if (Sha256Of(bytes) == digest) return bytes;
  return DamagedPack(Printable(pack.path), absl::StrCat("block ", digest.Hex(), " at offset ",
                                                        place.offset, " fails its SHA-256"));
}

}  // namespace ballast

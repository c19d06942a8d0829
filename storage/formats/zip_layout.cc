#include "storage/formats/zip_layout.h"

#include <algorithm>
#include <utility>

#include "storage/base/crc32.h"
#include "storage/formats/zip_directory.h"

namespace ballast {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kZip64From = 0xFFFFFFFF;  // sizes and offsets from here on need zip64
constexpr uint16_t kZip64Version = 45;
constexpr uint16_t kZip64MadeBy = 0x031E;
constexpr uint64_t kZip64EndBytes = 56;
constexpr size_t kLocalBytes = 30;

// Little-endian fields, one after the other.
class Fields {
 public:
  template <typename T>
  Fields& Put(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) {
      out_ += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
    }
    return *this;
  }
  Fields& U16(uint16_t value) { return Put(value); }
  Fields& U32(uint32_t value) { return Put(value); }
  Fields& U64(uint64_t value) { return Put(value); }
  Fields& Text(absl::string_view text) {
    out_.append(text.data(), text.size());
    return *this;
  }
  const std::string& str() const { return out_; }

 private:
  std::string out_;
};

uint16_t Flags(uint64_t size_bytes) {
  return size_bytes == 0 ? kZipFlagUtf8 : kZipFlagUtf8 | kZipFlagDescriptor;
}

uint32_t Low32(uint64_t value) { return static_cast<uint32_t>(std::min(value, kZip64From)); }

// torch leaves the stored size of the local header's block zero.
std::string LocalZip64(uint64_t header_offset, uint64_t size_bytes) {
  const bool size = size_bytes >= kZip64From;
  const bool offset = header_offset >= kZip64From;
  if (!size && !offset) return "";
  Fields block;
  block.U16(kZip64Extra).U16(static_cast<uint16_t>(16 * size + 8 * offset));
  if (size) block.U64(size_bytes).U64(0);
  if (offset) block.U64(header_offset);
  return block.str();
}

std::string Padding(uint64_t unpadded_data_offset) {
  const uint64_t begin = unpadded_data_offset + 4;
  const uint64_t size = (kAlignment - begin % kAlignment) % kAlignment;
  Fields block;
  block.Text("FB").U16(static_cast<uint16_t>(size)).Text(std::string(size, 'Z'));
  return block.str();
}

}  // namespace

void ZipLayout::AddHeader(const Record& record) {
  const std::string zip64 = LocalZip64(record.header_offset, record.size_bytes);
  const std::string padding =
      Padding(record.header_offset + kLocalBytes + record.name.size() + zip64.size());
  Fields header;
  header.U32(kZipLocalSignature).U16(0).U16(Flags(record.size_bytes)).U16(kZipStored);
  header.U16(0).U16(0).U32(0).U32(0).U32(0);  // time, date, CRC, sizes
  header.U16(static_cast<uint16_t>(record.name.size()));
  header.U16(static_cast<uint16_t>(zip64.size() + padding.size()));
  header.Text(record.name).Text(zip64).Text(padding);
  builder_.AddLiteral(header.str());
}

void ZipLayout::AddCrc(const Record& record) {
  if (record.crc32.has_value()) {
    builder_.AddLiteral(Fields().U32(*record.crc32).str());
  } else {
    builder_.AddCrcHole(record.entry);
  }
}

void ZipLayout::AddDescriptor(const Record& record) {
  if (record.size_bytes == 0) return;
  builder_.AddLiteral(Fields().U32(kZipDescriptorSignature).str());
  AddCrc(record);
  const bool wide = record.size_bytes >= kZip64From || record.header_offset >= kZip64From;
  Fields sizes;
  if (wide) {
    sizes.U64(record.size_bytes).U64(record.size_bytes);
  } else {
    sizes.U32(Low32(record.size_bytes)).U32(Low32(record.size_bytes));
  }
  builder_.AddLiteral(sizes.str());
}

void ZipLayout::AddRecord(std::string name, absl::string_view bytes) {
  Record record{std::move(name), builder_.size_bytes(), bytes.size(), Crc32(bytes), 0};
  AddHeader(record);
  builder_.AddLiteral(bytes);
  AddDescriptor(record);
  records_.push_back(std::move(record));
}

void ZipLayout::AddRecord(std::string name, const LayoutTensor& tensor) {
  Record record{std::move(name), builder_.size_bytes(), CheckedTensorBytes(tensor.spec),
                tensor.crc32, tensor.entry};
  if (record.size_bytes == 0) record.crc32 = 0;
  AddHeader(record);
  builder_.AddTensor(tensor);
  AddDescriptor(record);
  records_.push_back(std::move(record));
}

void ZipLayout::AddDirectoryEntry(const Record& record) {
  Fields zip64;
  if (record.size_bytes >= kZip64From) zip64.U64(record.size_bytes).U64(record.size_bytes);
  if (record.header_offset >= kZip64From) zip64.U64(record.header_offset);
  const size_t extra_bytes = zip64.str().empty() ? 0 : 4 + zip64.str().size();
  Fields head;
  head.U32(kZipDirectorySignature).U16(0).U16(0).U16(Flags(record.size_bytes)).U16(kZipStored);
  head.U16(0).U16(0);  // time, date
  builder_.AddLiteral(head.str());
  AddCrc(record);
  Fields tail;
  tail.U32(Low32(record.size_bytes)).U32(Low32(record.size_bytes));
  tail.U16(static_cast<uint16_t>(record.name.size())).U16(static_cast<uint16_t>(extra_bytes));
  tail.U16(0).U16(0).U16(0).U32(0);  // comment, disk, attributes
  tail.U32(Low32(record.header_offset)).Text(record.name);
  if (extra_bytes > 0) {
    tail.U16(kZip64Extra).U16(static_cast<uint16_t>(extra_bytes - 4)).Text(zip64.str());
  }
  builder_.AddLiteral(tail.str());
}

absl::StatusOr<FileLayout> ZipLayout::Finish() {
  const uint64_t directory = builder_.size_bytes();
  for (const Record& record : records_) AddDirectoryEntry(record);
  const uint64_t end = builder_.size_bytes();
  const uint64_t count = records_.size();
  const auto count16 = static_cast<uint16_t>(std::min<uint64_t>(count, 0xFFFF));
  Fields ends;
  ends.U32(kZip64EndSignature).U64(kZip64EndBytes - 12).U16(kZip64MadeBy).U16(kZip64Version);
  ends.U32(0).U32(0).U64(count).U64(count).U64(end - directory).U64(directory);
  ends.U32(kZip64LocatorSignature).U32(0).U64(end).U32(1);
  ends.U32(kZipEndSignature).U16(0).U16(0).U16(count16).U16(count16);
  ends.U32(Low32(end - directory)).U32(Low32(directory)).U16(0);
  builder_.AddLiteral(ends.str());
  return builder_.Build();
}

}  // namespace ballast

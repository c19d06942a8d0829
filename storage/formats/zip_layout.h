// Lays out a zip archive of stored records, byte for byte as torch's writer does.
//
//   record     local header with CRC and sizes 0 | name | extra | data | descriptor
//              flags 0x0808, or 0x0800 and no descriptor for an empty record
//   extra      [zip64 block] "FB" block of 'Z's: data begin at multiples of 64
//   descriptor 16 bytes, or 24 once the size or the header's offset reaches 2^32-1
//   end        directory | zip64 end record | locator | end record, always all three
// Source: caffe2/serialize/inline_container.cc, third_party/miniz-3.0.2. Dates,
// attributes and made-by are 0 as there.
#ifndef BALLAST_STORAGE_FORMATS_ZIP_LAYOUT_H_
#define BALLAST_STORAGE_FORMATS_ZIP_LAYOUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/formats/layout.h"
#include "storage/formats/layout_builder.h"

namespace ballast {

// Not thread-safe.
class ZipLayout {
 public:
  explicit ZipLayout(Format format) : builder_(format) {}

  void AddRecord(std::string name, absl::string_view bytes);
  // A record of the tensor's bytes; its CRC becomes a hole if it is not known.
  void AddRecord(std::string name, const LayoutTensor& tensor);
  // Errors: ResourceExhausted  the file would have more than 2^64-1 bytes.
  absl::StatusOr<FileLayout> Finish();

 private:
  struct Record {
    std::string name;
    uint64_t header_offset = 0;
    uint64_t size_bytes = 0;
    std::optional<uint32_t> crc32;
    uint32_t entry = 0;  // whose CRC it is, if it is not known
  };
  void AddHeader(const Record& record);
  void AddDescriptor(const Record& record);
  void AddDirectoryEntry(const Record& record);
  void AddCrc(const Record& record);

  LayoutBuilder builder_;
  std::vector<Record> records_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_ZIP_LAYOUT_H_

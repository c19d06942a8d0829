// The records of a PyTorch zip archive: what kind of archive it is, who wrote it,
// and where its storages are.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_ARCHIVE_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_ARCHIVE_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/pytorch_tensors.h"
#include "storage/formats/state_dict.h"
#include "storage/formats/zip_reader.h"

namespace ballast {

// Not thread-safe. Borrows: the source must outlive this.
class PyTorchArchive : public StorageLocator {
 public:
  // Errors: as zip_reader.h; InvalidArgument/WRONG_FORMAT for other kinds of zip, by
  //         name; MALFORMED for records outside the one folder and small records that hold
  //         nonsense; Unimplemented for TorchScript before 1.4.
  static absl::StatusOr<PyTorchArchive> Open(const ByteSource& source, const Limits& limits);

  // True if constants.pkl is there.
  bool is_script() const { return Find("constants.pkl") != nullptr; }
  // Null if the archive has no record of this name under its prefix.
  const ZipRecord* Find(absl::string_view name) const;
  // All bytes of such a record; see ZipReader::Read.
  absl::StatusOr<std::string> Read(absl::string_view name, uint64_t limit_bytes) const;
  // A storage of the record's bytes; it must be of this archive.
  SourceStorage StorageOf(const ZipRecord& record) const;
  // Records `data/<key>`.
  absl::StatusOr<SourceStorage> Locate(const PyTorchStorageId& id) override;

  // "torch 2.1-2.6", "TorchSharp.PyBridge", …; "" if nothing is known.
  std::string Writer() const;
  // archive (its prefix), records, deflated_records, version, byte_order.
  std::vector<SourceFact> Facts() const;
  // One line each, after all storages have been located: no version record,
  // records without CRC, records that no tensor refers to.
  std::vector<std::string> Warnings() const;

 private:
  PyTorchArchive(ZipReader zip, std::string prefix)
      : zip_(std::move(zip)), prefix_(std::move(prefix)) {}
  absl::Status ReadVersion();
  absl::Status CheckAlignment() const;
  absl::Status ReadByteOrder();

  ZipReader zip_;
  std::string prefix_;    // with the slash
  uint32_t version_ = 0;  // of the layout, as the record has it; 0: there is none
  bool big_endian_ = false;
  absl::flat_hash_set<std::string> located_;  // keys
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_ARCHIVE_H_

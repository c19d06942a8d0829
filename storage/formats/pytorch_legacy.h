// Reads the stream that torch.save wrote before 1.6, and writes still with
// _use_new_zipfile_serialization=False.
//
// Layout:  pickle  the number 0x1950a86a20f9469cfc6c
//          pickle  1001, the version of this layout
//          pickle  {"protocol_version", "little_endian", "type_sizes"}
//          pickle  the object; its persistent ids are
//                    ("storage", class, key, location, numel, view)  pytorch_storage.h
//                    ("module", class, file, source)                 pickle_machine.h
//          pickle  list of the storages' keys
//          per key, in the order of the list:
//            i64   numel, little-endian
//            bytes of the elements, little-endian whatever the third pickle says
// Source:  torch/serialization.py, `_legacy_load`, `_legacy_save`; THPStorage_readFileRaw.
// Stricter:
//   the first pickle    exactly as torch.save writes it
//   the list            every storage that the object names, and each once; torch leaves
//                       the memory of one that is missing as it was
//   a view's key        one window, and no storage's key
//   numel               as the object says, for storages that no tensor uses too
//   behind the storages nothing (torch.load takes a second torch.save for later)
//
// Errors: InvalidArgument    MALFORMED, TRUNCATED, UNSAFE; names the pickle, storage or byte.
//         Unimplemented      another version, another spelling of the first number; tensors
//                            that are not dense and plain.
//         ResourceExhausted  a limit of pickle_machine.h (each pickle), pytorch_walk.h;
//                            materialized_bytes_max: views.
#ifndef BALLAST_STORAGE_FORMATS_PYTORCH_LEGACY_H_
#define BALLAST_STORAGE_FORMATS_PYTORCH_LEGACY_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/pytorch_storage.h"
#include "storage/formats/state_dict.h"

namespace ballast {

// LONG1 and STOP of the first pickle; PROTO, and FRAME from protocol 4 on, precede them.
inline constexpr absl::string_view kPyTorchLegacyMagic(
    "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 13);

absl::StatusOr<SourceStateDict> ReadPyTorchLegacy(const ByteSource& source, const Limits& limits);

// A storage that was saved by itself; what it is called means nothing outside.
struct SavedStorage {
  PyTorchStorageId id;
  SourceStorage storage;  // as it lies in the source
};

// Reads a stream whose object is one storage and nothing else.
// Errors: as above; InvalidArgument/MALFORMED  the object is something else.
absl::StatusOr<SavedStorage> ReadSavedStorage(const ByteSource& source, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PYTORCH_LEGACY_H_

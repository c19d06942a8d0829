// What is known of a state dict, as one JSON document: the answer of `inspect`
// for a file and for a version, on the command line and on the server.
//
//   {"format":"pytorch","writer":"torch 2.1","bytes":1234,
//    "entries":[{"key":"fc.weight","dtype":"float32","shape":[10,5],"kind":"parameter",
//                "role":"weights","sha256":"…"}, …],
//    "ties":[["a.weight","b.weight"], …],
//    "views":[{"key":"rnn.w","storage":"data/3","storage_bytes":400,"offset_bytes":80,
//              "used_bytes":40,"strides":[1,5]}, …],
//    "leaves":[{"path":"epoch","type":"int","value":3}, …],
//    "globals":[{"name":"collections.OrderedDict","verdict":"allowed"}, …],
//    "metadata":{…} or null,
//    "warnings":["…"]}
//
// `bytes` is the sum of the tensors' sizes. `sha256` is there if digests were asked
// for, over the tensor's contiguous row-major little-endian bytes. `strides` (in
// elements) is there for a view that is not contiguous. One entry a line; the same
// input gives the same text.
#ifndef BALLAST_STORAGE_FORMATS_INSPECT_H_
#define BALLAST_STORAGE_FORMATS_INSPECT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "storage/formats/state_dict.h"
#include "storage/formats/tensor_source.h"
#include "storage/model/manifest.h"

namespace ballast {

// Describes a file. With `digests` (a source whose entries are dict's; may be null)
// every tensor is read once; tied ones share the reading. `progress`, if set, is
// called with the bytes read so far; it returns false to cancel.
// Errors: those of digests->Read; Cancelled.
absl::StatusOr<std::string> InspectJson(const SourceStateDict& dict, TensorSource* digests,
                                        const std::function<bool(uint64_t)>& progress = nullptr);

// Describes a version. The manifest tells neither views nor globals nor warnings, so
// these are empty lists; `writer` and `leaves` are those of the pushed file.
absl::StatusOr<std::string> InspectJson(const Manifest& manifest, TensorSource* digests,
                                        const std::function<bool(uint64_t)>& progress = nullptr);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_INSPECT_H_

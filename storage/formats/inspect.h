// What is known of a state dict, as one JSON document: the answer of `inspect`
// for a file and for a version, on the command line and on the server.
//
//   {"format":"pytorch","writer":"torch 2.1-2.6","bytes":1234,
//    "container":{"file_bytes":2345,"archive":"model","records":14,"deflated_records":0,
//                 "version":3,"byte_order":"little","pickle_protocol":2},
//    "storages":{"count":10,"stored_bytes":1634,"used_bytes":1234} or null,
//    "entries":[{"key":"fc.weight","dtype":"float32","shape":[10,5],"kind":"parameter",
//                "role":"weights","sha256":"…",
//                "health":{"nan":0,"inf":0,"zeros":3,"min":-0.5,"max":0.5,"mean":0.01}}, …],
//    "ties":[["a.weight","b.weight"], …],
//    "views":[{"key":"rnn.w","storage":"data/3","storage_bytes":400,"offset_bytes":80,
//              "used_bytes":40,"strides":[1,5]}, …],
//    "leaves":[{"path":"epoch","type":"int","value":3},
//              {"path":"best","type":"float","text":"nan"}, …],
//    "globals":[{"name":"collections.OrderedDict","verdict":"allowed"}, …],
//    "metadata":{…} or null,
//    "warnings":["…"]}
//
//   format      what it is, by content
//   writer      who probably wrote it, with the generations of torch that write so; "" if
//               that cannot be told. "Ballast" is this program
//   bytes       the sum of the tensors' sizes, tied ones each
//   container   facts of the file; which ones depends on the format. `version` is that of
//               torch's layout. {} for a version
//   storages    runs of bytes that tensors are windows into. stored_bytes: all of them as
//               the writer had them; used_bytes: from the first to the last element of each
//               tensor, shared bytes once. null for a version, which has no storages
//   entries     the tensors, in the order of the source. sha256, if digests were asked for,
//               is over the tensor's contiguous row-major little-endian bytes. health:
//               what the values are like (storage/model/manifest.h), if it was counted: of a
//               version when it was pushed, of a file with the digests
//   ties        keys with the same storage, offset, dtype, shape and strides
//   views       tensors that are not the whole of their storage in row-major order;
//               `strides` (in elements) of those that are not contiguous
//   leaves      values that are not tensors, by path. `value` is the JSON form of those
//               that have one, as pickle_json.h says: with the type it is all there was.
//               `text` is what a person can make out of the others, cut where it is long
//   globals     every global that a pickle names. "allowed": may also be called, to make
//               tensors or plain values; "inert": may be named and be the class of an
//               object, which torch.load with weights_only=True may refuse. Nothing is ever
//               imported or called here; a file with any other verdict is not described
//   metadata    the OrderedDict's `_metadata`
//   warnings    what a careful reader should know, one line each
//
// One entry a line; the same input gives the same text.
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

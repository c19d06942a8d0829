// The records of TorchSharp's native format, one after the other, from a file or
// a stream: the one parser behind both ways of reading .dat.
//
// Layout (no magic, version, checksum or alignment):
//   file    = uleb(entry count) entry*
//   entry   = string tensor
//   string  = uleb32(byte length) utf8          .NET BinaryWriter.Write(string)
//   tensor  = uleb(dtype) uleb(ndim) uleb(dim)* data   contiguous, little-endian
// Source: TorchSharp NN/Module.cs, TensorExtensionMethods.cs, LEB128Codec.cs;
//         .NET BinaryReader.Read7BitEncodedInt.
// Stricter than TorchSharp: duplicate keys, bytes after the last entry, numbers
// above 2^63-1 or longer than ten bytes, and dtypes that only fit after truncation
// to a byte are refused. Overlong numbers within these bounds are read, as
// TorchSharp does.
#ifndef BALLAST_STORAGE_FORMATS_TORCHSHARP_PARSER_H_
#define BALLAST_STORAGE_FORMATS_TORCHSHARP_PARSER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/formats/forward_input.h"
#include "storage/model/tensor_spec.h"

namespace ballast {

// An unsigned LEB128 number of at most ten bytes and 2^63-1.
// Errors: InvalidArgument/TRUNCATED, MALFORMED; `what` is named.
absl::StatusOr<uint64_t> ReadLeb128(ForwardInput* input, absl::string_view what);

// A .NET string of at most limits.key_bytes_max bytes; not checked to be UTF-8.
// Errors: InvalidArgument/TRUNCATED, MALFORMED; ResourceExhausted, before a byte
// of it is read.
absl::StatusOr<std::string> ReadDotNetString(ForwardInput* input, const Limits& limits,
                                             absl::string_view what);

// dtype, ndim and dims into `spec`; returns the size of the data that follows.
// Errors: InvalidArgument; Unimplemented  a dtype that TorchSharp does not have, or
//         a quantized one; ResourceExhausted.
absl::StatusOr<uint64_t> ReadTensorHeader(ForwardInput* input, const Limits& limits,
                                          TensorSpec* spec);

// True if `.dat` has a code for the dtype that it reads and writes.
bool TorchSharpHasDType(DType dtype);

// Walks the entries of a module file. Not thread-safe.
class TorchSharpParser {
 public:
  // Both must outlive this.
  TorchSharpParser(ForwardInput* input, const Limits* limits) : input_(input), limits_(limits) {}

  // The next entry; its data (data_bytes() of it) stands next in the input and must
  // be read or skipped before the next call. nullopt after the last entry, when
  // the end of the input has been checked.
  absl::StatusOr<std::optional<TensorSpec>> Next();
  uint64_t data_bytes() const { return data_bytes_; }

 private:
  absl::Status ReadCount();
  absl::StatusOr<TensorSpec> ReadEntry();

  ForwardInput* input_;   // Must outlive this.
  const Limits* limits_;  // Must outlive this.
  absl::flat_hash_set<std::string> keys_;
  std::optional<uint64_t> count_;
  uint64_t read_ = 0;
  uint64_t data_bytes_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TORCHSHARP_PARSER_H_

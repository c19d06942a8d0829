// Messages of the server as the library's own types.
#ifndef BALLAST_CLIENT_ANSWERS_H_
#define BALLAST_CLIENT_ANSWERS_H_

#include <ballast/client.h>

#include "absl/status/statusor.h"
#include "ballast/v1/registry.pb.h"

namespace ballast {

absl::Time TimeFromProto(const google::protobuf::Timestamp& time);
// Errors: Internal  the server sent a digest or format that is not one.
absl::StatusOr<VersionDescription> VersionFromProto(const v1::Version& version);
AliasMoveDescription AliasMoveFromProto(const v1::AliasMove& move);
ModelDescription ModelFromProto(const v1::Model& model);

// "vision/resnet:3"
std::string ExactReference(const std::string& model, uint64_t version);

// `given`, or a new one if it is empty.
// Errors: InvalidArgument  not 1 to 64 printable ASCII bytes.
absl::StatusOr<std::string> RequestIdOr(const std::string& given);

}  // namespace ballast

#endif  // BALLAST_CLIENT_ANSWERS_H_

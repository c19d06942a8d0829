// What of a push must be hashed: what the server may have already. Blocks that it surely lacks need
// no SHA-256 here; the server makes one of every block that comes.
#ifndef BALLAST_CLIENT_BLOCK_QUESTION_H_
#define BALLAST_CLIENT_BLOCK_QUESTION_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/connection.h"
#include "client/push_source.h"
#include "storage/model/manifest.h"

namespace ballast {

// The manifest to offer. Asks by CRC-32, a sample first: where that is known all is hashed, as
// it is for a server that cannot tell. Otherwise blocks that are surely new have no digest.
// Errors: as HashBlocks.
absl::StatusOr<Manifest> ManifestToOffer(const PushSource& source, const std::string& model,
                                         Connection* connection, Operation* operation);

}  // namespace ballast

#endif  // BALLAST_CLIENT_BLOCK_QUESTION_H_

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

struct Offer {
  Manifest manifest;
  bool answered = false;  // the server has, to a question
};

// The manifest to offer, of a push with this request id. Asks by CRC-32, a sample first: where
// that is known all is hashed, as it is for a server that cannot tell. Otherwise blocks that are
// surely new have no digest.
// Errors: as HashBlocks.
absl::StatusOr<Offer> MakeOffer(const PushSource& source, const std::string& model,
                                const std::string& request_id, Connection* connection,
                                Operation* operation);

}  // namespace ballast

#endif  // BALLAST_CLIENT_BLOCK_QUESTION_H_

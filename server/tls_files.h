// The PEM files of a TLS listener, looked at before gRPC gets them: gRPC says only that
// something is wrong with them.
#ifndef BALLAST_SERVER_TLS_FILES_H_
#define BALLAST_SERVER_TLS_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ballast {

struct TlsFiles {
  std::string certificate;  // PEM file; "": plain
  std::string key;          // PEM file
  std::string client_ca;    // PEM file; "": clients need no certificate
};

// The text of a PEM file.
// Errors: NotFound, PermissionDenied. InvalidArgument  larger than any PEM file.
absl::StatusOr<std::string> ReadPem(const std::string& path);

// One line for each thing that is wrong: a file that cannot be read or is not PEM, a key
// that is encrypted or not the certificate's, a certificate that is not valid now.
std::vector<std::string> TlsProblems(const TlsFiles& tls);

}  // namespace ballast

#endif  // BALLAST_SERVER_TLS_FILES_H_

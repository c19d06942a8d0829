#include <ballast/client.h>

#include <utility>

#include "client/client_impl.h"
#include "client/transport.h"
#include "storage/base/status.h"

namespace ballast {

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

std::unique_ptr<Client> MakeClient(std::unique_ptr<Transport> transport, ClientOptions options) {
  return std::make_unique<Client>(
      std::make_unique<Client::Impl>(std::move(transport), std::move(options)));
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport, MakeGrpcTransport(options));
  return MakeClient(std::move(transport), std::move(options));
}

}  // namespace ballast

// The workload behind the proxy on the other side, as that proxy tells it (istio.metadata_exchange): in HTTP headers,
// or ahead of the bytes of a TCP connection. Its word alone: it is for logs, never for decisions.
#pragma once

#include <map>
#include <string>

namespace clew {

struct PeerWorkload {
  std::string name, namespace_name, workload, cluster, identity, region, zone;  // name: the pod's
  std::string type;               // «deployment», «pod», «job», «cronjob»; empty: none of these
  std::string service, revision;  // canonical
  std::string app, version;
  std::map<std::string, std::string> labels;  // the others that it tells
};

}  // namespace clew

// SQL Server Resolution Protocol (MC-SQLR): what SQL Browser on UDP 1434 is asked, and what it
// says. Datagrams are neither signed nor numbered, so whoever asks compares the sender's address
// with the one that was asked.
#pragma once

#include "tds/bytes.hpp"

#include <variant>

namespace tds {

inline constexpr std::uint16_t ssrp_port = 1434;
inline constexpr std::size_t longest_instance = 32; ///< bytes of a name, MC-SQLR 2.2.3
inline constexpr std::size_t largest_ssrp_answer =
    1024; ///< bytes of RESP_DATA about one instance, MC-SQLR 2.2.5

/// What a server says of one instance.
struct SsrpInstance {
  std::string server;                ///< the machine's own name; in no way proven
  std::string instance;              ///< "MSSQLSERVER" for the default instance
  std::string version;               ///< "16.0.1000.6"
  bool clustered = false;            ///< of a failover cluster
  std::optional<std::uint16_t> port; ///< TCP; none where the instance does not listen
  std::string pipe;                  ///< `\\sql1\pipe\MSSQL$INST\sql\query`; empty where it does not listen
  bool operator==(const SsrpInstance &) const = default;
};

/// Where is this one instance (CLNT_UCAST_INST, MC-SQLR 2.2.3): `04 INSTANCE 00`. Error: the name is empty,
/// too long, or has a character that such a message cannot hold.
Result<Bytes> encode_ssrp_question(std::string_view instance);

/// The answer about `instance` (SVR_RESP, MC-SQLR 2.2.5): `05 SIZE(2, LE)
/// ServerName;NAME;InstanceName;NAME;IsClustered;Yes|No;Version;TEXT[;np;PIPE][;tcp;PORT]…;;`. Names of the
/// protocol and of the instance in any case. Other protocols (via, rpc, spx, adsp, bv) are passed over, as is
/// what follows the first `;;`. Error: another message, a size that is not what follows, a key without a
/// value, a port that is none or 0, or the answer is about another instance.
Result<SsrpInstance> decode_ssrp_answer(ByteView datagram, std::string_view instance);

/// What somebody asks of us.
struct AskAll {
  bool operator==(const AskAll &) const = default;
}; ///< CLNT_BCAST_EX 02, CLNT_UCAST_EX 03
struct AskInstance {
  std::string instance;
  bool operator==(const AskInstance &) const = default;
}; ///< CLNT_UCAST_INST 04
using SsrpQuestion = std::variant<AskAll, AskInstance>;
/// The NUL at the end of a name may be absent: servers take both. Error: any other message, also the one for
/// the dedicated administrator connection.
Result<SsrpQuestion> decode_ssrp_question(ByteView datagram);
/// One SVR_RESP about `instances`, as many as fit into one (65,535 bytes).
Bytes encode_ssrp_answer(const std::vector<SsrpInstance> &instances);

} // namespace tds

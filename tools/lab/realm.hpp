// A real Kerberos realm on loopback: MIT's KDC with its own database, configuration and log in one folder.
#pragma once

#include "tools/lab/block.hpp"
#include "tools/lab/process.hpp"

namespace lab {

struct RealmOptions {
  std::string name = "CORP.TEST";
  std::string domain = "corp.test"; ///< its names belong to the realm (domain_realm)
  std::string kdc_address = {};     ///< empty: the block's own
  std::uint16_t kdc_port = 18088;
  /// The KDC's clock as libfaketime understands it ("+10m", "-1d"); empty: the machine's.
  std::string kdc_clock = {};
  /// Lines for the [libdefaults] of krb5.conf: what a test wants clients to find there.
  std::string libdefaults = {};
  /// What krb5.conf says of the realm instead of the truth: its `kdc =` values, and to which
  /// realm the domain belongs.
  std::optional<std::vector<std::string>> kdcs = {};
  std::string realm_of_domain = {};
  bool kdc_tcp = true; ///< else it listens on UDP alone
  /// The longest life of its tickets, as kdc.conf writes it.
  std::string max_life = "10h";
};

/// Creates the realm in `folder` and starts its KDC. Principals: alice and bob (password NAMEpw) and
/// sqlshim/admin; everything else is added with the functions below.
///
///   folder/krb5.conf kdc.conf kdc.log kadm5.acl principal* stash
///
/// Nothing is set in our own environment: programs that shall use the realm are started with `environment()`.
class Realm {
public:
  Realm(fs::path folder, const Block &block, RealmOptions options = {});

  const std::string &name() const { return options_.name; }
  const fs::path &folder() const { return folder_; }
  fs::path krb5_conf() const { return folder_ / "krb5.conf"; }
  std::string log() const { return read_file(folder_ / "kdc.log"); }
  /// KRB5_CONFIG and KRB5_KDC_PROFILE.
  Environment environment() const;
  const std::string &kdc_address() const { return kdc_address_; }
  std::uint16_t kdc_port() const { return options_.kdc_port; }

  /// Runs lines of kadmin.local commands against the database (the KDC sees the change at once). Returns what
  /// it printed; throws LabError when a command fails.
  std::string kadmin(const std::string &commands);
  /// A principal with a password, or with a random key where `password` is empty. `flags` go to
  /// addprinc ("+requires_preauth").
  void add_principal(const std::string &principal, const std::string &password = {},
                     const std::string &flags = {});
  void add_spn(const std::string &spn) { add_principal(spn); }
  void remove(const std::string &principal);
  /// Appends the current keys to a keytab of mode 0600; the keys stay as they are.
  void ktadd(const fs::path &keytab, const std::string &principal);
  /// A new random key, as a password change of a service account makes: keytabs written before are old now.
  void change_key(const std::string &principal);

  /// A TGT by password into `ccache` (a file). `clock` is kinit's own clock, as in RealmOptions.
  void kinit(const std::string &principal, const std::string &password, const fs::path &ccache,
             const std::string &clock = {});

  void start_kdc();
  void stop_kdc();
  /// Restarts the KDC with another clock.
  void set_kdc_clock(std::string clock);

  Process &kdc() { return *kdc_; }

private:
  void write_configuration() const;
  Environment with_clock(const std::string &clock) const;

  fs::path folder_;
  RealmOptions options_;
  std::string kdc_address_;
  std::optional<Process> kdc_;
};

} // namespace lab

#include "auth/exchange.hpp"

#include "auth/loaded_identity.hpp"
#include "auth/spn.hpp"
#include "auth/trace.hpp"

#include <cstdlib>

namespace auth {

namespace {

using Action = std::variant<AskKdc, TicketPtr, Error>;


/// What one step of libkrb5 gave.
struct Stepped {
  krb5_error_code code = 0;
  bool more = false; ///< `message` goes to a KDC of `realm`
  Bytes message;
  std::string realm;
};

/// Both exchanges step alike; they differ in how they start, in what they yield, and in what an error means.
class Stepping : public Exchange {
public:
  Stepping(std::string exchange, Trace trace) : exchange_(std::move(exchange)), trace_(std::move(trace)) {}

  Action next() final {
    if (!action_) action_ = begin();
    return *action_;
  }

  void reply(ByteView message) final {
    if (!action_ || !std::holds_alternative<AskKdc>(*action_)) return;
    read_reply(message);
    // To libkrb5 an empty reply means that there was none, and it would begin anew.
    if (message.empty())
      action_ = make_error(Kind::malformed, "the KDC's reply is empty");
    else if (exchange_ == "AS" && refusal_ && refusal_->code == krb::preauth_failed)
      // libkrb5 would offer the same password in another way, and the KDC count it
      // once more towards a lockout.
      action_ = refused(static_cast<krb5_error_code>(ERROR_TABLE_BASE_krb5 + krb::preauth_failed));
    else
      action_ = advance(message);
  }

  const std::optional<KdcReply> &last_reply() const final { return last_reply_; }

protected:
  /// Prepares what the exchange needs and makes its first step.
  virtual Action begin() = 0;
  virtual Stepped step(krb5_data *in) = 0;
  /// The ticket, once no more messages are wanted.
  virtual Result<TicketPtr> result() = 0;
  /// Narrows an error, which says what its code means in general, to what it means in this exchange.
  /// `realm`: whose KDC was asked.
  virtual void interpret(Error &error, krb5_error_code code, const std::string &realm) const = 0;
  /// The KDC's clock, as the ticket shows it.
  virtual Time issued_at(const Ticket &ticket) const = 0;

  /// Makes the context.
  Result<> open(const std::string &config_path) {
    auto made = make_context(config_path);
    if (!made) return std::unexpected(made.error());
    context_ = std::move(*made);
    clock_skew_ = configured_clock_skew(config_path);
    if (trace_) krb5_set_trace_callback(context_.get(), &Stepping::on_trace, this);
    return {};
  }

  Action advance(ByteView reply) {
    krb5_data in{};
    in.length = static_cast<unsigned>(reply.size());
    // libkrb5 reads through this pointer only; its type knows no const.
    in.data = const_cast<char *>(reinterpret_cast<const char *>(reply.data()));
    Stepped stepped = step(&in);
    if (stepped.code) return refused(stepped.code);
    if (stepped.more) {
      realm_ = stepped.realm;
      const bool proof = asked_++ > 0 && exchange_ == "AS";
      return AskKdc{std::move(stepped.realm), std::move(stepped.message), proof, exchange_};
    }
    auto ticket = result();
    if (!ticket) return ticket.error();
    const Time issued = issued_at(**ticket);
    if (last_reply_) last_reply_->server_time = issued;
    // libkrb5's own limit is lifted (make_context): it would refuse without saying by how much.
    if (std::chrono::abs(issued - std::chrono::system_clock::now()) > clock_skew_)
      return Error{.kind = Kind::clock_skew,
                   .code = rfc_number(KRB5_KDCREP_SKEW),
                   .text = library_text(nullptr, KRB5_KDCREP_SKEW),
                   .server_time = issued};
    return *ticket;
  }

  Error local_error(krb5_error_code code, std::string_view what) const {
    Error error = library_error(context_.get(), code, what);
    interpret(error, code, realm_);
    return error;
  }

  krb5_context context() const { return context_.get(); }

private:
  /// Notes what came, before libkrb5 reads it: its own code tells neither the KDC's words nor its clock.
  void read_reply(ByteView message) {
    const auto said = decode_krb_error(message);
    last_was_error_ = said.has_value();
    last_reply_.emplace();
    if (!said) return;
    last_reply_->code = said->code;
    last_reply_->text =
        library_text(nullptr, static_cast<krb5_error_code>(ERROR_TABLE_BASE_krb5 + said->code));
    if (!said->said.empty()) last_reply_->text += " (" + said->said + ")";
    last_reply_->server_time = said->server_time;
    // 25 PREAUTH_REQUIRED and 91 MORE_PREAUTH_DATA_REQUIRED (RFC 6113) are rounds, not refusals. Of several
    // refusals the first counts: libkrb5 asks again in another way before it gives up, and the last answer is
    // then about that other way.
    if (said->code == krb::preauth_required || said->code == krb::more_preauth_data_required || refusal_) return;
    refusal_ = said;
    refusing_realm_ = realm_;
  }

  Error refused(krb5_error_code code) {
    Error error = local_error(code, {});
    if (!last_was_error_ || !refusal_) return error; // libkrb5's own verdict on a reply that was no refusal
    error.kind = kind_of_kdc_error(refusal_->code);
    error.text =
        library_text(context_.get(), static_cast<krb5_error_code>(ERROR_TABLE_BASE_krb5 + refusal_->code));
    error.code = refusal_->code;
    error.said = refusal_->said;
    error.server_time = refusal_->server_time;
    interpret(error, code, refusing_realm_);
    return error;
  }

  static void on_trace(krb5_context, const krb5_trace_info *info, void *self) {
    if (!info) return; // the context goes
    static_cast<Stepping *>(self)->trace_(loggable_trace(info->message));
  }

  std::string exchange_;
  Trace trace_;
  Context context_; // after trace_, which it calls until it is gone
  std::optional<Action> action_;
  std::optional<KdcReply> last_reply_;
  std::optional<KrbError> refusal_;
  std::string refusing_realm_;
  std::string realm_; // of the KDC asked last
  std::chrono::seconds clock_skew_{};
  bool last_was_error_ = false;
  int asked_ = 0;
};

/// libkrb5's step functions have one shape: message and realm out, a flag that says whether to go on.
template <class Step> Stepped call_step(krb5_context context, Step step_function, unsigned go_on) {
  krb5_data message{}, realm{};
  unsigned flags = 0;
  Stepped stepped;
  stepped.code = step_function(&message, &realm, &flags);
  stepped.more = !stepped.code && (flags & go_on);
  if (stepped.more) {
    stepped.message.assign(message.data, message.data + message.length);
    stepped.realm.assign(realm.data, realm.length);
  }
  krb5_free_data_contents(context, &message);
  krb5_free_data_contents(context, &realm);
  return stepped;
}

class TgtExchange final : public Stepping {
public:
  TgtExchange(std::shared_ptr<const LoadedIdentity> identity, std::string config_path, Trace trace)
      : Stepping("AS", std::move(trace)), identity_(std::move(identity)),
        config_path_(std::move(config_path)) {}

private:
  Action begin() override {
    if (const TicketPtr &own = identity_->tgt()) {
      if (own->expires > std::chrono::system_clock::now()) return own;
      return make_error(Kind::ticket_expired,
                        "the ticket-granting ticket of " + identity_->principal() + " ended at " +
                            utc_text(own->expires),
                        32);
    }
    if (auto opened = open(config_path_); !opened) return std::move(opened.error());
    if (const auto code = prepare()) return local_error(code, identity_->principal() + ": ");
    // No optimistic preauthentication unless libkrb5 is told to: its first AS-REQ proves
    // nothing, every later one may.
    return advance({});
  }

  krb5_error_code prepare() {
    options_.emplace(context());
    keytab_.emplace(context());
    exchange_.emplace(context());
    Principal client(context());
    if (const auto code = krb5_parse_name(context(), identity_->principal().c_str(), client.out()))
      return code;
    if (const auto code = krb5_get_init_creds_opt_alloc(context(), options_->out())) return code;
    // Whatever krb5.conf says: nothing is renewed or forwarded, so nothing that could be is asked for.
    krb5_get_init_creds_opt_set_forwardable(options_->get(), 0);
    krb5_get_init_creds_opt_set_proxiable(options_->get(), 0);
    krb5_get_init_creds_opt_set_renew_life(options_->get(), 0);
    if (const auto code = krb5_init_creds_init(context(), client.get(), nullptr, nullptr, 0, options_->get(),
                                               exchange_->out()))
      return code;
    if (identity_->keytab().empty())
      return krb5_init_creds_set_password(context(), exchange_->get(), identity_->password().c_str());
    if (const auto code = krb5_kt_resolve(context(), identity_->keytab().c_str(), keytab_->out()))
      return code;
    return krb5_init_creds_set_keytab(context(), exchange_->get(), keytab_->get());
  }

  Stepped step(krb5_data *in) override {
    return call_step(
        context(),
        [&](krb5_data *message, krb5_data *realm, unsigned *flags) {
          return krb5_init_creds_step(context(), exchange_->get(), in, message, realm, flags);
        },
        KRB5_INIT_CREDS_STEP_FLAG_CONTINUE);
  }

  Result<TicketPtr> result() override {
    CredentialsValue credentials(context());
    if (const auto code = krb5_init_creds_get_creds(context(), exchange_->get(), credentials.out()))
      return std::unexpected(local_error(code, {}));
    return make_ticket(context(), credentials.get());
  }

  void interpret(Error &error, krb5_error_code code, const std::string &) const override {
    // A reply that our key does not open, or no key of its type: the KDC has another one. Without
    // preauthentication this is the only sign.
    const bool no_key = code == KRB5_KT_NOTFOUND || code == KRB5_KT_KVNONOTFOUND;
    if (error.kind == Kind::preauth_failed && !identity_->keytab().empty())
      error.kind = Kind::keytab_mismatch;
    if (!no_key) return;
    error.kind = Kind::keytab_mismatch;
    error.text = identity_->principal() + ": the keytab holds no key of the type that the KDC uses (" +
                 error.text + ")";
  }

  Time issued_at(const Ticket &ticket) const override { return ticket.starts; }

  std::shared_ptr<const LoadedIdentity> identity_; // keeps the MEMORY keytab
  std::string config_path_;
  std::optional<Owned<krb5_get_init_creds_opt *, krb5_get_init_creds_opt_free>>
      options_; // the exchange refers to them
  std::optional<Keytab> keytab_;
  std::optional<Owned<krb5_init_creds_context, krb5_init_creds_free>> exchange_;
};

class ServiceTicketExchange final : public Stepping {
public:
  ServiceTicketExchange(TicketPtr tgt, std::string spn, std::string config_path, Trace trace)
      : Stepping("TGS", std::move(trace)), tgt_(std::move(tgt)), spn_(std::move(spn)),
        config_path_(std::move(config_path)) {}

private:
  Action begin() override {
    if (auto opened = open(config_path_); !opened) return std::move(opened.error());
    if (const auto code = prepare()) return local_error(code, spn_ + ": ");
    return advance({});
  }

  krb5_error_code prepare() {
    ccache_.emplace(context());
    server_.emplace(context());
    exchange_.emplace(context());
    // With the realm required: one that libkrb5 would put in by itself is one that we did not decide.
    if (const auto code = krb5_parse_name_flags(context(), spn_.c_str(), KRB5_PRINCIPAL_PARSE_REQUIRE_REALM,
                                                server_->out()))
      return code;
    // As Windows asks for SPNs. MIT's KDC refers only names that say they are a service's.
    server_->get()->type = KRB5_NT_SRV_INST;
    if (const auto code = make_private_ccache(context(), *tgt_, *ccache_)) return code;
    Principal client(context());
    if (const auto code = krb5_cc_get_principal(context(), ccache_->get(), client.out())) return code;
    krb5_creds wanted{};
    wanted.client = client.get();
    wanted.server = server_->get();
    return krb5_tkt_creds_init(context(), ccache_->get(), &wanted, 0, exchange_->out());
  }

  Stepped step(krb5_data *in) override {
    return call_step(
        context(),
        [&](krb5_data *message, krb5_data *realm, unsigned *flags) {
          return krb5_tkt_creds_step(context(), exchange_->get(), in, message, realm, flags);
        },
        KRB5_TKT_CREDS_STEP_FLAG_CONTINUE);
  }

  Result<TicketPtr> result() override {
    CredentialsValue credentials(context());
    if (const auto code = krb5_tkt_creds_get_creds(context(), exchange_->get(), credentials.out()))
      return std::unexpected(local_error(code, {}));
    // Another realm is a referral; another name would be another service than the one that was decided on.
    if (!krb5_principal_compare_any_realm(context(), credentials.get().server, server_->get()))
      return std::unexpected(make_error(Kind::malformed,
                                        "asked for " + spn_ + ", the KDC gave a ticket for " +
                                            unparse(context(), credentials.get().server),
                                        rfc_number(KRB5_KDCREP_MODIFIED)));
    return make_ticket(context(), credentials.get());
  }

  void interpret(Error &error, krb5_error_code, const std::string &realm) const override {
    // Nothing is preauthenticated here: 24 and 31 mean that the KDC does not take the TGT.
    if (error.kind == Kind::preauth_failed) error.kind = Kind::other;
    // On the way to another realm it is that realm's krbtgt that is asked for: no trust, which says
    // nothing about the service.
    if (error.kind == Kind::service_unknown && realm != spn_realm(spn_)) error.kind = Kind::wrong_realm;
  }

  Time issued_at(const Ticket &ticket) const override { return ticket.starts; }

  TicketPtr tgt_;
  std::string spn_;
  std::string config_path_;
  std::optional<PrivateCcache> ccache_; // this exchange's own, with the TGT; gone with it
  std::optional<Principal> server_;
  std::optional<Owned<krb5_tkt_creds_context, krb5_tkt_creds_free>> exchange_;
};

/// For a start that cannot be made.
class FailedExchange final : public Exchange {
public:
  explicit FailedExchange(Error error) : error_(std::move(error)) {}
  Action next() override { return error_; }
  void reply(ByteView) override {}
  const std::optional<KdcReply> &last_reply() const override { return none_; }

private:
  Error error_;
  std::optional<KdcReply> none_;
};

} // namespace

std::unique_ptr<Exchange> request_tgt(std::shared_ptr<const Identity> identity,
                                      const std::string &config_path, Trace trace) {
  auto loaded = std::dynamic_pointer_cast<const LoadedIdentity>(std::move(identity));
  if (!loaded)
    return std::make_unique<FailedExchange>(
        make_error(Kind::no_credentials, "the identity was not made by load_identity"));
  return std::make_unique<TgtExchange>(std::move(loaded), config_path, std::move(trace));
}

Result<Bytes> request_without_proof(const std::string &principal, const std::string &config_path) {
  auto context = make_context(config_path);
  if (!context) return std::unexpected(context.error());
  Principal client(context->get());
  Owned<krb5_init_creds_context, krb5_init_creds_free> exchange(context->get());
  Stepped first;
  first.code = krb5_parse_name(context->get(), principal.c_str(), client.out());
  if (!first.code)
    first.code =
        krb5_init_creds_init(context->get(), client.get(), nullptr, nullptr, 0, nullptr, exchange.out());
  if (!first.code) {
    krb5_data nothing{};
    first = call_step(
        context->get(),
        [&](krb5_data *message, krb5_data *realm, unsigned *flags) {
          return krb5_init_creds_step(context->get(), exchange.get(), &nothing, message, realm, flags);
        },
        KRB5_INIT_CREDS_STEP_FLAG_CONTINUE);
  }
  if (first.code) return std::unexpected(library_error(context->get(), first.code, principal + ": "));
  return std::move(first.message);
}

std::unique_ptr<Exchange> request_service_ticket(TicketPtr tgt, const std::string &spn,
                                                 const std::string &config_path, Trace trace) {
  if (!tgt)
    return std::make_unique<FailedExchange>(
        make_error(Kind::no_credentials, "there is no ticket-granting ticket"));
  return std::make_unique<ServiceTicketExchange>(std::move(tgt), spn, config_path, std::move(trace));
}

} // namespace auth

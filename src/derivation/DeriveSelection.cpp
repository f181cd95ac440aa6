#include "DeriveSelection.h"

#include "Expressions.h"
#include "Monotone.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

Terms derive_selection(Draft &draft, const Reduction &r, Separator &separator, int pass, std::vector<Fact> &facts) {
    const Chosen of = *as_chosen(r.body);
    std::vector<Expr> guard;
    const Expr key = without_identity(separator, r.op, of.key, guard);
    const bool is_key = same(of.value, of.key);
    const std::set<std::string> blockers = separator.live(of.value);
    if (!blockers.empty() && !is_key) {
        throw Blocked{of.value, blockers, "what is kept of an element depends on a result that is not final"};
    }
    Monotone order{key, true, true};
    if (!separator.live(key).empty()) {
        const std::optional<Monotone> found = monotone_in_stream(separator, key, draft.nonnegative);
        if (!found || !found->core.defined() || !found->strict) {
            throw Blocked{key, separator.live(key),
                          "it is not known to order the elements as some part of it that is free of results does"};
        }
        order = *found;
        with_core(separator, key, order.core, make_zero(order.core.type()));  // may be blocked
    }
    const Expr init = cast(r.type, separator.value(r.init));
    const bool greatest = (r.op == ReduceOp::Max) == order.rising;
    const auto state_type = [](const Expr &e) {
        return e.type().is_float() && e.type().bits() < 32 ? Float(32) : e.type();
    };
    const Expr core = cast(state_type(order.core), order.core);
    Moment m;
    m.selection = draft.selection(pass, core, guard, greatest, r.rank);
    m.rank = r.rank;
    m.op = greatest ? ReduceOp::Max : ReduceOp::Min;
    m.guard = all_of(guard);
    m.factor = core;
    m.type = core.type();
    const Expr best = draft.moment(pass, m);
    const Expr nothing = identity_of(m.op, m.type);
    Expr value = cast(r.type, with_core(separator, key, order.core, cast(order.core.type(), best)));
    if (!is_key) {
        m.factor = cast(state_type(of.value), of.value);
        m.type = m.factor.type();
        value = cast(r.type, draft.moment(pass, m));
    }
    const bool itself = is_key && same(key, order.core);  // the identity stands for nothing
    Term term;
    term.coefficient = itself ? value : select(best == nothing, init, value);
    const std::string stream = draft.plan.roles.stream;
    facts.push_back({r.name, "selection",
                     "kept along " + stream + " are the " + (greatest ? "greatest " : "least ") + text_of(order.core) +
                         ", sorted, with what belongs to them: the best of two parts are among the best of each" +
                         (same(key, order.core) ? "" : "; " + text_of(key) + (order.rising ? " rises" : " falls") +
                                                           " strictly with it")});
    return {term};
}

}  // namespace strobe

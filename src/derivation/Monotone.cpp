#include "Monotone.h"

#include "Expressions.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

using Result = std::optional<Monotone>;

Result turned(Result m) {
    if (m) {
        m->rising = !m->rising;
    }
    return m;
}

Result not_strict(Result m) {
    if (m) {
        m->strict = false;
    }
    return m;
}

/** Both rise or both fall with the same part. */
Result together(const Result &a, const Result &b) {
    if (!a || !b) {
        return std::nullopt;
    }
    if (!a->core.defined() || !b->core.defined()) {
        return a->core.defined() ? a : b;
    }
    if (!same(a->core, b->core) || a->rising != b->rising) {
        return std::nullopt;
    }
    return Monotone{a->core, a->rising, a->strict || b->strict};
}

class Finder {
    Separator &separator;
    const Nonnegative &known;

    /** x times (over) what is free of the stream and has a sign. */
    Result scaled(const Expr &x, const Expr &by) const {
        if (separator.streams(by)) {
            return std::nullopt;
        }
        const Expr factor = separator.value(by);
        if (is_nonnegative(factor, known)) {
            return is_positive(factor, known) ? find(x) : not_strict(find(x));
        }
        const auto c = as_const_float(factor);
        return c && *c < 0 ? turned(find(x)) : std::nullopt;
    }

    Result of_call(const Call *op) const {
        for (const char *rising : {"exp", "log", "sqrt"}) {
            if (as_call(op, rising)) {
                return find(op->args[0]);
            }
        }
        // Flat in places, tanh as numbers are rounded.
        for (const char *flat : {"tanh", "atan", "floor", "ceil", "round", "trunc"}) {
            if (as_call(op, flat)) {
                return not_strict(find(op->args[0]));
            }
        }
        return std::nullopt;
    }

    Result of_select(const Select *op) const {
        if (separator.streams(op->condition)) {
            return std::nullopt;
        }
        const Result a = find(op->true_value), b = find(op->false_value);
        return not_strict(together(a, b));
    }

    Result of_condition(const Expr &e) const {
        const auto ordered = [&](const Expr &less, const Expr &greater) {
            return not_strict(together(turned(find(less)), find(greater)));
        };
        if (const LT *op = e.as<LT>()) {
            return ordered(op->a, op->b);
        }
        if (const LE *op = e.as<LE>()) {
            return ordered(op->a, op->b);
        }
        if (const GT *op = e.as<GT>()) {
            return ordered(op->b, op->a);
        }
        if (const GE *op = e.as<GE>()) {
            return ordered(op->b, op->a);
        }
        if (const And *op = e.as<And>()) {
            return not_strict(together(find(op->a), find(op->b)));
        }
        if (const Or *op = e.as<Or>()) {
            return not_strict(together(find(op->a), find(op->b)));
        }
        const Not *op = e.as<Not>();
        return op ? turned(find(op->a)) : std::nullopt;
    }

public:
    Finder(Separator &separator, const Nonnegative &known) : separator(separator), known(known) {
    }

    Result find(const Expr &e) const {
        if (!separator.streams(e)) {
            return Monotone{};
        }
        if (separator.live(e).empty()) {
            return e.type().is_bool() ? std::nullopt : Result(Monotone{e, true, true});
        }
        if (e.type().is_bool()) {
            return of_condition(e);
        }
        if (const Add *op = e.as<Add>()) {
            return together(find(op->a), find(op->b));
        }
        if (const Sub *op = e.as<Sub>()) {
            return together(find(op->a), turned(find(op->b)));
        }
        if (const Mul *op = e.as<Mul>()) {
            return separator.streams(op->a) ? scaled(op->a, op->b) : scaled(op->b, op->a);
        }
        if (const Div *op = e.as<Div>(); op && e.type().is_float()) {
            return scaled(op->a, op->b);
        }
        if (const Max *op = e.as<Max>()) {
            return not_strict(together(find(op->a), find(op->b)));
        }
        if (const Min *op = e.as<Min>()) {
            return not_strict(together(find(op->a), find(op->b)));
        }
        if (const Cast *op = e.as<Cast>(); op && !op->value.type().is_bool()) {
            return not_strict(find(op->value));
        }
        if (const Select *op = e.as<Select>()) {
            return of_select(op);
        }
        const Call *op = e.as<Call>();
        return op ? of_call(op) : std::nullopt;
    }
};

class WithCore : public IRMutator {
    Separator &separator;
    const Expr &core, &value;

public:
    WithCore(Separator &separator, const Expr &core, const Expr &value)
        : separator(separator), core(core), value(value) {
    }
    Expr mutate(const Expr &e) override {
        if (same(e, core)) {
            return value;
        }
        if (!separator.streams(e)) {
            return e.type().is_bool() ? separator.condition(e) : separator.value(e);
        }
        return IRMutator::mutate(e);
    }
};

bool is_identity(const Expr &e, ReduceOp op) {
    return same(simplify(e), simplify(identity_of(op, e.type())));
}

}  // namespace

std::optional<Monotone> monotone_in_stream(Separator &separator, const Expr &e, const Nonnegative &known) {
    return Finder(separator, known).find(e);
}

Expr with_core(Separator &separator, const Expr &e, const Expr &core, const Expr &value) {
    return WithCore(separator, core, value).mutate(e);
}

Expr without_identity(const Separator &separator, ReduceOp op, Expr body, std::vector<Expr> &guard) {
    const auto counts = [&](const Expr &c) {
        if (!separator.live(c).empty()) {
            return false;
        }
        guard = joined(guard, conjuncts(c));
        return true;
    };
    while (true) {
        const Select *choice = body.as<Select>();
        const And *both = op == ReduceOp::Or ? body.as<And>() : nullptr;
        const Or *either = op == ReduceOp::And ? body.as<Or>() : nullptr;
        if (choice && is_identity(choice->false_value, op) && counts(choice->condition)) {
            body = choice->true_value;
        } else if (choice && is_identity(choice->true_value, op) && counts(negation(choice->condition))) {
            body = choice->false_value;
        } else if (both && counts(both->a)) {
            body = both->b;
        } else if (both && counts(both->b)) {
            body = both->a;
        } else if (either && counts(negation(either->a))) {
            body = either->b;
        } else if (either && counts(negation(either->b))) {
            body = either->a;
        } else {
            return body;
        }
    }
}

std::optional<Terms> extreme_of_monotone(Draft &draft, const Reduction &r, Separator &separator, int pass,
                                         std::vector<Fact> &facts) {
    std::vector<Expr> guard;
    const Expr body = without_identity(separator, r.op, r.body, guard);
    const std::optional<Monotone> m = monotone_in_stream(separator, body, draft.nonnegative);
    if (!m || !m->core.defined()) {
        return std::nullopt;
    }
    const bool greatest = (r.op == ReduceOp::Max || r.op == ReduceOp::Or) == m->rising;
    const ReduceOp op = greatest ? ReduceOp::Max : ReduceOp::Min;
    // Everything is separated once before the first moment is added: it may be blocked.
    with_core(separator, body, m->core, make_zero(m->core.type()));
    const Expr extreme = draft.moment(pass, op, m->core.type(), guard, m->core);
    const Expr any = guard.empty() ? draft.graph.axis(r.over[0]).extent > 0
                                   : draft.moment(pass, ReduceOp::Or, Bool(), guard, const_true());
    Term term;
    term.coefficient = select(any, with_core(separator, body, m->core, extreme), identity_of(r.op, r.type));
    facts.push_back({r.name, "monotone",
                     text_of(body) + (m->rising ? " rises with " : " falls with ") + text_of(m->core) + ": its " +
                         name_of(r.op) + " over " + draft.plan.roles.stream + " is taken at the " +
                         (greatest ? "greatest" : "least") + " of these"});
    return Terms{term};
}

}  // namespace strobe

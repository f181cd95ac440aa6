#include "SumOfSquares.h"

#include "Expressions.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** What is multiplied in \p e, through quotients and select(c, x, 0). */
void factors_of(const Expr &e, std::vector<Expr> &factors) {
    const Cast *convert = e.as<Cast>();
    if (const Mul *op = e.as<Mul>()) {
        factors_of(op->a, factors);
        factors_of(op->b, factors);
    } else if (const Div *op = e.as<Div>(); op && e.type().is_float()) {
        factors_of(op->a, factors);
        factors.push_back(make_one(e.type()) / op->b);
    } else if (const Select *op = e.as<Select>(); op && is_zero(op->false_value)) {
        factors_of(op->true_value, factors);
        factors.push_back(select(op->condition, make_one(e.type()), make_zero(e.type())));
    } else if (const Call *op = as_call(e, "pow"); op && is_const(op->args[1], 2)) {
        factors.push_back(op->args[0]);
        factors.push_back(op->args[0]);
    } else if (convert && convert->value.type().is_float() && convert->value.type().bits() < e.type().bits()) {
        std::vector<Expr> inner;
        factors_of(convert->value, inner);
        for (const Expr &f : inner) {
            factors.push_back(cast(e.type(), f));
        }
    } else {
        factors.push_back(e);
    }
}

struct Square {
    Expr weight;         // undefined: 1
    Expr value, centre;  // (value - centre)^2: of the stream alone, and free of it
};

class SquareFinder {
    const Separator &separator;

    /** Adds \p e to the value or to the centre. */
    bool split(const Expr &e, bool negative, Square &s) const {
        if (const Add *op = e.as<Add>()) {
            return split(op->a, negative, s) && split(op->b, negative, s);
        }
        if (const Sub *op = e.as<Sub>()) {
            return split(op->a, negative, s) && split(op->b, !negative, s);
        }
        const bool streams = separator.streams(e);
        if (streams && !separator.live(e).empty()) {
            return false;
        }
        Expr &side = streams ? s.value : s.centre;
        const bool minus = streams ? negative : !negative;
        side = side.defined() ? (minus ? side - e : side + e) : minus ? -e : e;
        return true;
    }

public:
    explicit SquareFinder(const Separator &separator) : separator(separator) {
    }

    std::optional<Square> find(const Expr &body) const {
        std::vector<Expr> factors;
        factors_of(body, factors);
        for (size_t a = 0; a < factors.size(); a++) {
            Square s;
            if (!separator.streams(factors[a]) || separator.live(factors[a]).empty() ||
                !split(factors[a], false, s) || !s.value.defined() || !s.centre.defined()) {
                continue;
            }
            for (size_t b = a + 1; b < factors.size(); b++) {
                if (!same(factors[a], factors[b])) {
                    continue;
                }
                for (size_t n = 0; n < factors.size(); n++) {
                    if (n != a && n != b) {
                        s.weight = s.weight.defined() ? s.weight * factors[n] : factors[n];
                    }
                }
                return s;
            }
        }
        return std::nullopt;
    }
};

bool has_features(const Draft &draft, const Expr &e) {
    const std::vector<std::string> axes = axes_of(draft.graph, e);
    return std::any_of(axes.begin(), axes.end(), [&](const std::string &a) {
        const std::vector<std::string> &features = draft.plan.roles.features;
        return std::find(features.begin(), features.end(), a) != features.end();
    });
}

/** Weights that are never negative have a mean that lies among the values. */
bool are_weights(const Terms &terms, const Draft &draft) {
    return std::all_of(terms.begin(), terms.end(), [&](const Term &t) {
        const bool alone = terms.size() == 1 || !t.coefficient.defined() ||
                           is_nonnegative(t.coefficient, draft.nonnegative);
        return alone && (!t.factor.defined() || is_nonnegative(t.factor, {})) && !has_features(draft, t.factor) &&
               !has_features(draft, t.power) && !has_features(draft, all_of(t.guard));
    });
}

}  // namespace

std::optional<Terms> sum_of_squares(Draft &draft, const Reduction &r, Separator &separator, int pass,
                                    std::vector<Fact> &facts) {
    if (!r.type.is_float()) {
        return std::nullopt;
    }
    const std::optional<Square> square = SquareFinder(separator).find(r.body);
    if (!square) {
        return std::nullopt;
    }
    const Expr weight = square->weight.defined() ? square->weight : make_one(r.type);
    const Terms weights = separator.separate(weight);
    if (!are_weights(weights, draft)) {
        return std::nullopt;
    }
    const Expr centre = cast(r.type, separator.value(square->centre)), value = cast(r.type, square->value);
    Terms result;
    for (const Term &term : weights) {
        Term part;
        part.scale = term.scale;
        int pivot = -1;
        if (term.power.defined()) {
            pivot = draft.pivot(pass, term.power.type().bits() < 32 ? cast<float>(term.power) : term.power, term.guard);
            part.scale = part.scale.plus(LinearForm(draft.pass(pass).pivots[pivot].ref()));
        }
        const auto moment = [&](const Expr &factor, int degree, const Around &around) {
            return draft.moment(pass, ReduceOp::Sum, r.type, term.guard, factor, pivot, degree, around);
        };
        const auto name = [](const Expr &e) { return e.as<Variable>()->name; };
        const Expr own = term.factor.defined() ? cast(r.type, term.factor) : Expr();
        const Expr w = moment(own, 0, {}), sum = moment(times(own, value), 0, {});
        Around around{value, name(w), name(sum), ""};
        const Expr first = moment(own, 1, around);
        around.first = name(first);
        const Expr second = moment(own, 2, around);
        const Expr mean = around.mean(w, sum), apart = mean - centre;
        const Expr all = same(mean, centre) ? second : second + 2 * apart * first + apart * apart * w;
        part.coefficient = times(term.coefficient, all);
        result.push_back(part);
    }
    facts.push_back({r.name, "centred",
                     "a sum over " + draft.plan.roles.stream + " of squares around " + text_of(square->centre) +
                         ": kept are the sums of u and u^2 with u = " + text_of(square->value) +
                         " - c, where c is its mean under " + text_of(weight) +
                         " so far; when c moves to c', u^2 becomes u^2 + 2 (c - c') u + (c - c')^2, and nothing large "
                         "cancels"});
    return result;
}

}  // namespace strobe

#include "TileTruth.h"

#include "Expressions.h"

#include <algorithm>
#include <optional>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

const Truth unknown() {
    return {const_false(), const_false()};
}

bool loads_inside(const Expr &e) {
    return any_call(e, [](const Call *op) { return op->call_type == Call::Image; });
}

/** Grows so much slower than the axis that a tile may see two values of it: a quotient. */
bool is_coarse(const Expr &e) {
    if (const Add *op = e.as<Add>()) {
        return is_coarse(op->a) || is_coarse(op->b);
    }
    if (const Sub *op = e.as<Sub>()) {
        return is_coarse(op->a) || is_coarse(op->b);
    }
    const Div *op = e.as<Div>();
    const auto by = op ? as_const_int(op->b) : std::nullopt;
    return op && (!by || *by >= 16);
}

/** Arithmetic on bits, which intervals say nothing about. */
bool is_bits(const Expr &e) {
    const Call *call = e.as<Call>();
    return call && call->is_intrinsic({Call::bitwise_and, Call::bitwise_or, Call::bitwise_xor, Call::bitwise_not,
                                       Call::shift_left, Call::shift_right});
}

bool bits_inside(const Expr &e) {
    return any_call(e, [](const Call *op) { return is_bits(op); });
}

/** Puts a Variable in the place of each value that intervals say nothing about and that varies inside the tile: the
 * summary's where there is one, else one without bounds. */
class ReplaceVarying : public IRMutator {
    using IRMutator::visit;
    TileTruth &truth;
    const std::function<bool(const Expr &)> varies, by_bits;

    Expr visit(const Call *op) override {
        if (op->call_type != Call::Image || !varies(op)) {
            return IRMutator::visit(op);
        }
        Expr known = truth.summary(op);
        known = known.defined() ? known : truth.table(op);
        return known.defined() ? known : Variable::make(op->type, "%unbounded");
    }

public:
    ReplaceVarying(TileTruth &truth, std::function<bool(const Expr &)> varies,
                   std::function<bool(const Expr &)> by_bits)
        : truth(truth), varies(std::move(varies)), by_bits(std::move(by_bits)) {
    }

    /** All of what varies along one axis, where bits are inside. */
    Expr mutate(const Expr &e) override {
        const Expr summary = by_bits(e) ? truth.summary(e) : Expr();
        return summary.defined() ? summary : is_bits(e) && varies(e) ? Variable::make(e.type(), "%unbounded") : IRMutator::mutate(e);
    }
    using IRMutator::mutate;
};

}  // namespace

Expr low_corner(const std::string &axis) {
    return Variable::make(Int(32), axis + ".lo");
}

Expr high_corner(const std::string &axis) {
    return Variable::make(Int(32), axis + ".hi");
}

TileTruth::TileTruth(const ReductionGraph &graph, const Roles &roles) : graph(graph), roles(roles) {
    for (const std::string &axis : {roles.query, roles.stream}) {
        corners.push(axis, Interval(low_corner(axis), high_corner(axis)));
    }
    corners.push("%unbounded", Interval::everything());
}

/** The axis of the tile that \p e varies along; "" for none. */
std::string TileTruth::tile_axis(const Expr &e, bool *several) const {
    std::string found;
    *several = false;
    for (const std::string &a : axes_of(graph, e)) {
        if (a == roles.query || a == roles.stream) {
            *several = *several || !found.empty();
            found = a;
        }
    }
    return found;
}

Expr TileTruth::summary(const Expr &value) {
    bool several = false;
    const std::string axis = tile_axis(value, &several);
    const Type t = value.type();
    // A float may be NaN, which lies between no two bounds.
    if (several || axis.empty() || !(t.is_int() || t.is_uint())) {
        return Expr();
    }
    const Call *load = value.as<Call>();
    const std::string base = "%" + (load && load->call_type == Call::Image ? load->name : "place") + "." + axis;
    std::string name = base;
    for (int n = 1;; n++) {
        auto known = std::find_if(summaries.begin(), summaries.end(), [&](const Summary &s) { return s.name == name; });
        if (known == summaries.end()) {
            summaries.push_back({name, value, axis});
            corners.push(name, Interval(Variable::make(t, name + ".min"), Variable::make(t, name + ".max")));
            break;
        }
        if (same(known->load, value)) {
            break;
        }
        name = base + "_" + std::to_string(n);
    }
    return Variable::make(t, name);
}

/** An integer that varies along one axis of the tile by arithmetic on bits. */
bool TileTruth::varies_by_bits(const Expr &e) const {
    bool several = false;
    return e.type() == Int(32) && !tile_axis(e, &several).empty() && !several && bits_inside(e);
}

/** What the load gives in the tile, and in \p known when that is all: its indices are at most one apart. */
std::vector<Expr> TileTruth::values_of_table(const Call *load, Expr &known) {
    const size_t most = 4;
    std::vector<std::vector<Expr>> indices = {{}};
    known = const_true();
    for (const Expr &e : load->args) {
        bool several = false;
        const bool fixed = tile_axis(e, &several).empty();
        Interval range = fixed ? Interval::single_point(e) : bounds(e);
        if (loads_inside(e) || bits_inside(e) || (!fixed && !is_coarse(e)) || !range.is_bounded() || (!fixed && indices.size() == most)) {
            return {};
        }
        if (!fixed) {  // where only a rest of the tile is asked, which may be empty: no index beyond the tile's
            Scope<Interval> tile;
            for (const std::string &axis : {roles.query, roles.stream}) {
                tile.push(axis, Interval(low_corner(axis), high_corner(axis)));
            }
            const Interval all = bounds_of_expr_in_scope(e, tile);
            if (!all.is_bounded()) {
                return {};
            }
            range = Interval(simplified(clamp(range.min, all.min, all.max)), simplified(clamp(range.max, all.min, all.max)));
        }
        std::vector<std::vector<Expr>> longer;
        for (const std::vector<Expr> &index : indices) {
            for (const Expr &end : {range.min, range.max}) {
                longer.push_back(index);
                longer.back().push_back(end);
                if (fixed) {
                    break;
                }
            }
        }
        known = fixed ? known : simplified(known && range.max - range.min <= 1);
        indices = longer;
    }
    std::vector<Expr> values;
    for (const std::vector<Expr> &index : indices) {
        values.push_back(Call::make(load->type, load->name, index, load->call_type, load->func, load->value_index,
                                    load->image, load->param));
    }
    return is_const_zero(known) ? std::vector<Expr>{} : values;
}

/** A new Variable between these bounds, which hold for the corners as they are now. */
Expr TileTruth::bounded(const Type &t, const Interval &range) {
    const std::string name = unique_name("%table");
    corners.push(name, range);
    return Variable::make(t, name);
}

Expr TileTruth::table(const Call *load) {
    const Type t = load->type;
    Expr known;
    const std::vector<Expr> values = t.is_int() || t.is_uint() ? values_of_table(load, known) : std::vector<Expr>();
    if (values.empty() || t.is_bool()) {
        return Expr();
    }
    Expr least = values[0], greatest = values[0];
    for (const Expr &value : values) {
        least = min(least, value);
        greatest = max(greatest, value);
    }
    return bounded(t, Interval(select(known, least, t.min()), select(known, greatest, t.max())));
}

Expr TileTruth::with_summaries(const Expr &e) {
    const auto varies = [this](const Expr &value) {
        bool several = false;
        return !tile_axis(value, &several).empty();
    };
    return ReplaceVarying(*this, varies, [this](const Expr &value) { return varies_by_bits(value); }).mutate(e);
}

namespace {

/** Puts a Variable in the place of each remainder by a positive number that is the
 * same for the whole tile: within one multiple it is as exact as what is divided. */
class ReplaceRemainders : public IRMutator {
    using IRMutator::visit;
    Scope<Interval> &corners;

    Expr visit(const Mod *op) override {
        const Interval x = bounds_of_expr_in_scope(op->a, corners), by = bounds_of_expr_in_scope(op->b, corners);
        if (op->type != Int(32) || !x.is_bounded() || !by.is_single_point() || !is_positive(op->b, {}) ||
            x.is_single_point()) {
            return IRMutator::visit(op);
        }
        std::ostringstream name;
        name << "%remainder of " << Expr(op);
        const Expr within = x.min / op->b == x.max / op->b;
        corners.push(name.str(), Interval(select(within, x.min % op->b, 0), select(within, x.max % op->b, op->b - 1)));
        return Variable::make(Int(32), name.str());
    }

public:
    explicit ReplaceRemainders(Scope<Interval> &corners) : corners(corners) {
    }
};

}  // namespace

Interval TileTruth::bounds(const Expr &e) {
    Interval range = bounds_of_expr_in_scope(ReplaceRemainders(corners).mutate(simplify(e)), corners);
    range.min = range.has_lower_bound() ? simplified(range.min) : range.min;
    range.max = range.has_upper_bound() ? simplified(range.max) : range.max;
    return range;
}

/** a <= b, or a < b. */
Truth TileTruth::of_comparison(const Expr &a, const Expr &b, bool strict) {
    const bool by_difference = a.type() == Int(32) && !loads_inside(a) && !loads_inside(b);
    if (by_difference) {
        // One occurrence of each coordinate: the bounds of the difference are exact.
        const Interval d = bounds(with_summaries(a) - with_summaries(b));
        const Expr most = d.has_upper_bound() ? (strict ? d.max < 0 : d.max <= 0) : const_false();
        const Expr least = d.has_lower_bound() ? (strict ? d.min >= 0 : d.min > 0) : const_false();
        return {simplified(most), simplified(least)};
    }
    const Interval x = bounds(with_summaries(a)), y = bounds(with_summaries(b));
    Truth result = unknown();
    if (x.has_upper_bound() && y.has_lower_bound()) {
        result.all = simplified(strict ? x.max < y.min : x.max <= y.min);
    }
    if (x.has_lower_bound() && y.has_upper_bound()) {
        result.none = simplified(strict ? x.min >= y.max : x.min > y.max);
    }
    return result;
}

Truth TileTruth::of_equality(const Expr &a, const Expr &b) {
    const Truth less = of_comparison(a, b, true), greater = of_comparison(b, a, true);
    const Truth at_most = of_comparison(a, b, false), at_least = of_comparison(b, a, false);
    return {simplified(at_most.all && at_least.all), simplified(less.all || greater.all)};
}

namespace {

void disjuncts_of(const Expr &c, std::vector<Expr> &result) {
    if (const Or *op = c.as<Or>()) {
        disjuncts_of(op->a, result);
        disjuncts_of(op->b, result);
    } else {
        result.push_back(c);
    }
}

/** a < b or a <= b, whichever way it is written. */
struct Order {
    Expr a, b;
    bool strict;
};

std::optional<Order> as_order(const Expr &c) {
    if (const LT *op = c.as<LT>()) {
        return Order{op->a, op->b, true};
    }
    if (const LE *op = c.as<LE>()) {
        return Order{op->a, op->b, false};
    }
    if (const GT *op = c.as<GT>()) {
        return Order{op->b, op->a, true};
    }
    if (const GE *op = c.as<GE>()) {
        return Order{op->b, op->a, false};
    }
    return std::nullopt;
}

}  // namespace

/** For j < n (or n < j, and so on) with an n that is the same for the whole tile: makes the corners those
 * of the elements for which it does not hold, and returns the axis; else "". */
std::string TileTruth::narrow_to_rest(const Expr &disjunct) {
    const std::optional<Order> order = as_order(disjunct);
    if (!order || order->a.type() != Int(32)) {
        return "";
    }
    for (const bool below : {true, false}) {
        const Variable *axis = (below ? order->a : order->b).as<Variable>();
        const Expr &n = below ? order->b : order->a;
        bool several = false;
        if (!axis || (axis->name != roles.query && axis->name != roles.stream) || !tile_axis(n, &several).empty()) {
            continue;
        }
        Interval rest = *corners.find(axis->name);
        if (below) {
            rest.min = max(rest.min, order->strict ? n : n + 1);
        } else {
            rest.max = min(rest.max, order->strict ? n : n - 1);
        }
        corners.push(axis->name, rest);
        return axis->name;
    }
    return "";
}

/** All elements: where some parts hold for the coordinates below or above a number, the others need only
 * hold for the rest. If no rest is left, those parts hold for all of the tile already. */
Truth TileTruth::of_disjunction(const Expr &condition) {
    std::vector<Expr> parts, others;
    std::vector<std::string> narrowed;
    disjuncts_of(condition, parts);
    Truth result = {const_false(), const_true()};
    for (const Expr &part : parts) {
        const Truth t = of(part);
        result.none = result.none && t.none;
    }
    for (const Expr &part : parts) {
        const Truth t = of(part);
        if (const std::string axis = narrow_to_rest(part); !axis.empty()) {
            narrowed.push_back(axis);
            result.all = result.all || t.all;
        } else {
            others.push_back(part);
        }
    }
    for (const Expr &part : others) {
        result.all = result.all || of(part).all;
    }
    for (const std::string &axis : narrowed) {
        corners.pop(axis);
    }
    return {simplified(result.all), simplified(result.none)};
}

Truth TileTruth::of(const Expr &condition) {
    bool several = false;
    if (tile_axis(condition, &several).empty()) {
        return {condition, simplified(!condition)};
    }
    if (const And *op = condition.as<And>()) {
        const Truth a = of(op->a), b = of(op->b);
        return {simplified(a.all && b.all), simplified(a.none || b.none)};
    }
    if (condition.as<Or>()) {
        return of_disjunction(condition);
    }
    if (const Not *op = condition.as<Not>()) {
        const Truth a = of(op->a);
        return {a.none, a.all};
    }
    if (const Select *op = condition.as<Select>()) {
        const Truth c = of(op->condition), a = of(op->true_value), b = of(op->false_value);
        return {simplified((c.all && a.all) || (c.none && b.all) || (a.all && b.all)),
                simplified((c.all && a.none) || (c.none && b.none) || (a.none && b.none))};
    }
    if (const LT *op = condition.as<LT>()) {
        return of_comparison(op->a, op->b, true);
    }
    if (const LE *op = condition.as<LE>()) {
        return of_comparison(op->a, op->b, false);
    }
    if (const GT *op = condition.as<GT>()) {
        return of_comparison(op->b, op->a, true);
    }
    if (const GE *op = condition.as<GE>()) {
        return of_comparison(op->b, op->a, false);
    }
    if (const EQ *op = condition.as<EQ>()) {
        if (op->a.type().is_bool()) {
            return of((op->a && op->b) || (!op->a && !op->b));
        }
        return of_equality(op->a, op->b);
    }
    if (const NE *op = condition.as<NE>()) {
        const Truth equal = of(op->a == op->b);
        return {equal.none, equal.all};
    }
    if (const Cast *op = condition.as<Cast>(); op && op->type.is_bool()) {
        return of(op->value != make_zero(op->value.type()));
    }
    if (const Call *op = condition.as<Call>(); op && op->call_type == Call::Image) {
        if (const Expr s = summary(op); s.defined()) {
            const Interval *range = corners.find(s.as<Variable>()->name);
            return {range->min, simplified(!range->max)};
        }
        Expr known;
        const std::vector<Expr> values = values_of_table(op, known);
        Truth result = {known, known};
        for (const Expr &value : values) {
            result = {result.all && value, result.none && !value};
        }
        return values.empty() ? unknown() : Truth{simplified(result.all), simplified(result.none)};
    }
    return unknown();
}

}  // namespace strobe

#include "PrefixSum.h"

#include "OperandTiles.h"
#include "algorithm/MergeAxes.h"
#include "derivation/Expressions.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool is_axis(const Expr &e, const std::string &name) {
    const Variable *v = e.as<Variable>();
    return v && v->name == name;
}

/** c is k < j or k <= j, in any writing. */
std::optional<bool> includes(const Expr &c, const std::string &k, const std::string &j) {
    const LE *le = c.as<LE>();
    const LT *lt = c.as<LT>();
    const GE *ge = c.as<GE>();
    const GT *gt = c.as<GT>();
    if ((le && is_axis(le->a, k) && is_axis(le->b, j)) || (ge && is_axis(ge->a, j) && is_axis(ge->b, k))) {
        return true;
    }
    if ((lt && is_axis(lt->a, k) && is_axis(lt->b, j)) || (gt && is_axis(gt->a, j) && is_axis(gt->b, k))) {
        return false;
    }
    return std::nullopt;
}

}  // namespace

std::optional<PrefixSum> as_prefix_sum(const TileBuilder &b, const Reduction &r) {
    const Axis &stream = b.program.stream;
    if (r.op != ReduceOp::Sum || r.over.size() != 1 || r.init.defined() ||
        std::find(r.axes.begin(), r.axes.end(), stream.name) == r.axes.end()) {
        return std::nullopt;
    }
    const Axis &k = b.graph.axis(r.over[0]);
    const bool same_domain =
        is_const_zero(simplify(k.min - stream.min)) && is_const_zero(simplify(k.extent - stream.extent));
    const Select *op = r.body.as<Select>();
    if (!same_domain || !op || !is_zero(op->false_value)) {
        return std::nullopt;
    }
    PrefixSum prefix;
    bool found = false;
    Expr value = op->true_value;
    std::vector<Expr> rest;
    for (const Expr &c : conjuncts(op->condition)) {
        if (const auto inclusive = includes(c, k.name, stream.name); inclusive && !found) {
            prefix.inclusive = *inclusive;
            found = true;
        } else {
            rest.push_back(c);
        }
    }
    if (const Expr guard = all_of(rest); guard.defined()) {
        value = select(guard, value, make_zero(value.type()));
    }
    if (!found || b.axes_in(value).count(stream.name)) {
        return std::nullopt;
    }
    prefix.body = along_axis(b.graph, value, k.name, stream.name);
    return prefix.body.defined() ? std::optional<PrefixSum>(prefix) : std::nullopt;
}

void refuse_walk_of_stream(const TileBuilder &b, const Reduction &r) {
    const Axis &stream = b.program.stream;
    const auto walks = [&](const std::string &axis) {
        const Axis &k = b.graph.axis(axis);
        return !is_const(k.extent) && is_const_zero(simplify(k.min - stream.min)) &&
               is_const_zero(simplify(k.extent - stream.extent));
    };
    const auto k = std::find_if(r.over.begin(), r.over.end(), walks);
    if (k == r.over.end() || std::find(r.axes.begin(), r.axes.end(), stream.name) == r.axes.end()) {
        return;
    }
    const Select *op = r.body.as<Select>();
    const std::vector<Expr> conditions = op ? conjuncts(op->condition) : std::vector<Expr>();
    const bool running = std::any_of(conditions.begin(), conditions.end(),
                                     [&](const Expr &c) { return includes(c, *k, stream.name).has_value(); });
    std::ostringstream why, instead;
    if (running && r.op != ReduceOp::Sum) {
        why << "a running " << name_of(r.op) << " along " << stream.name << " is not carried from tile to tile";
        instead << "only sums are, of select(" << *k << " <= " << stream.name << ", x, 0)";
    } else if (running && r.init.defined()) {
        why << "a running sum that starts from " << text_of(r.init) << " is not carried from tile to tile";
        instead << "start it from 0, and add it where " << r.name << " is used";
    } else {
        why << "it walks all of " << *k << " for each element of " << stream.name << ", which has as many elements";
        instead << "supported are running sums, of select(k <= " << stream.name << ", x(k), 0) over k, x free of "
                << stream.name << "; else compute " << r.name << " in an algorithm of its own";
    }
    strobe_user_error() << "Func " << r.name << ": can't compute the " << name_of(r.op) << " over " << *k << " of "
                        << text_of(r.body) << ", because " << why.str() << ": " << instead.str() << ".";
}

void build_prefix_sum(TileBuilder &b, const Reduction &r, const PrefixSum &prefix) {
    const std::string stream = b.program.stream.name, dst = "%" + r.name;
    Expr body = cast(r.type, over_loaded_tiles(b, prefix.body));
    std::set<std::string> rows = b.tile_axes_in(body);
    rows.erase(stream);
    std::set<std::string> axes = rows;
    axes.insert(stream);
    // Beyond the end there may be anything.
    const Expr end = simplify(b.program.stream.min + b.program.stream.extent);
    body = select(Variable::make(Int(32), stream) < end, body, make_zero(r.type));

    const std::string term = b.declare(b.unique(dst + ".term"), r.type, axes);
    const std::string within = b.declare(b.unique(dst + ".within"), r.type, axes);
    const std::string before = b.declare(b.unique(dst + ".before"), r.type, rows);
    const std::string sum = b.declare(b.unique(dst + ".sum"), r.type, rows);
    b.declare(dst, r.type, axes);
    b.pass().prologue.push_back(fill_op(before, make_zero(r.type)));
    b.step(map_op(term, body));
    TileOp scan = reduce_op(within, ReduceOp::Sum, stream, b.ref(term));
    scan.kind = TileOp::Kind::Scan;
    b.step(scan);
    const Expr through = b.ref(before) + b.ref(within);
    b.step(map_op(dst, prefix.inclusive ? through : through - b.ref(term)));
    b.step(reduce_op(sum, ReduceOp::Sum, stream, b.ref(term)));
    b.step(map_op(before, b.ref(before) + b.ref(sum)));
    b.walks_all = true;
}

}  // namespace strobe

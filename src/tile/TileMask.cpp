#include "TileMask.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

class RemaindersApart : public IRMutator {
    using IRMutator::visit;
    const std::string &query, &stream;

    /** Adds \p e, or what is taken from it if \p negative, to what names the row alone and the column alone. */
    bool split(const Expr &e, bool negative, Expr &row, Expr &column) const {
        if (const Add *op = e.as<Add>()) {
            return split(op->a, negative, row, column) && split(op->b, negative, row, column);
        }
        if (const Sub *op = e.as<Sub>()) {
            return split(op->a, negative, row, column) && split(op->b, !negative, row, column);
        }
        const bool of_row = expr_uses_var(e, query), of_column = expr_uses_var(e, stream);
        Expr &part = of_column ? column : row;
        part = negative ? part - e : part + e;
        return !(of_row && of_column);
    }

    /** x % m == 0 as a % m == -b % m, where x = a + b; undefined where that is no help. */
    Expr apart(const Expr &remainder, const Expr &other) const {
        const Mod *op = remainder.as<Mod>();
        Expr row = 0, column = 0;
        const bool helps = op && op->type == Int(32) && is_const_zero(other) && !expr_uses_var(op->b, query) &&
                           !expr_uses_var(op->b, stream) && split(op->a, false, row, column) &&
                           expr_uses_var(row, query) && expr_uses_var(column, stream);
        return helps ? simplify(row) % op->b == simplify(-column) % op->b : Expr();
    }

    Expr visit(const EQ *op) override {
        const Expr e = apart(op->a, op->b);
        return e.defined() ? e : IRMutator::visit(op);
    }
    Expr visit(const NE *op) override {
        const Expr e = apart(op->a, op->b);
        return e.defined() ? !e : IRMutator::visit(op);
    }

public:
    RemaindersApart(const std::string &query, const std::string &stream) : query(query), stream(stream) {
    }
};

}  // namespace

Expr with_remainders_apart(const Expr &e, const std::string &query, const std::string &stream) {
    return e.defined() ? RemaindersApart(query, stream).mutate(e) : e;
}

MaskVerdict tile_mask(const TileBuilder &b, const MaskVerdict &derived) {
    const Axis &stream = b.program.stream;
    const int tile = b.program.stream_tile;
    MaskVerdict mask = derived;
    if (!mask.guard.defined() || !mask.full.defined()) {
        mask.full = mask.guard.defined() ? const_false() : const_true();
    }
    if (!mask.dead.defined()) {
        mask.dead = const_false();
    }
    mask.guard = with_remainders_apart(mask.guard, b.program.query.name, stream.name);
    for (MaskPart &part : mask.parts) {
        part.guard = with_remainders_apart(part.guard, b.program.query.name, stream.name);
    }
    if (!can_prove(stream.extent % tile == 0)) {
        const Expr end = simplify(stream.min + stream.extent);
        const Expr inside = Variable::make(Int(32), stream.name) < end;
        const Expr whole = Variable::make(Int(32), stream.name + ".lo") + (tile - 1) < end;
        mask.guard = mask.guard.defined() ? mask.guard && inside : inside;
        mask.full = is_const_one(mask.full) ? whole : mask.full && whole;
        mask.parts.push_back({inside, whole});
    }
    if (!b.choices.skip_dead) {
        mask.dead = const_false();
        mask.begin = mask.end = Expr();
        mask.contiguous = true;
    }
    if (!b.choices.specialize_full && mask.guard.defined()) {
        mask.full = const_false();
        for (MaskPart &part : mask.parts) {
            part.full = const_false();
        }
    }
    return mask;
}

}  // namespace strobe

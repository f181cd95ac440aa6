#include "InputElements.h"

#include <algorithm>

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Adds tiles and ops to a program. */
class AddTransfers {
    TileProgram program;
    int added = 0;

    /** The axes of the tile that \p e depends on, rows first, with their sizes. */
    std::vector<TileDim> tile_dims(const Expr &e) const {
        std::vector<TileDim> dims;
        auto add = [&](const std::string &axis, int size) {
            if (expr_uses_var(e, axis)) {
                dims.push_back({axis, size});
            }
        };
        add(program.query.name, program.query_tile);
        add(program.stream.name, program.stream_tile);
        for (const auto &[axis, size] : program.column_sizes) {
            add(axis, size);
        }
        return dims;
    }

    bool reads_tiles(const Expr &e) const {
        return std::any_of(program.values.begin(), program.values.end(),
                           [&](const TileValue &v) { return expr_uses_var(e, v.name); });
    }

    /** The tile axes of a Store's output: rows first. None if one has no fixed size. */
    std::vector<TileDim> dims_of_output(const TileOp &store) const {
        std::vector<TileDim> dims;
        for (const std::string &a : store.out_axes) {
            const auto column = program.column_sizes.find(a);
            if (a == program.query.name) {
                dims.insert(dims.begin(), {a, program.query_tile});
            } else if (column != program.column_sizes.end()) {
                dims.push_back({a, column->second});
            } else if (std::none_of(program.grid.begin(), program.grid.end(), [&](const Axis &g) { return g.name == a; })) {
                return {};
            }
        }
        return dims;
    }

    std::string new_tile(const std::string &like, const Type &type, const std::vector<TileDim> &dims) {
        std::string name;
        do {
            name = "%" + like + ".tile" + std::to_string(added++);
        } while (program.has_value(name));
        program.values.push_back({name, type, dims, Place::Fragment});
        return name;
    }

    class Replace;
    std::vector<TileOp> loads_first(const std::vector<TileOp> &ops);
    std::vector<TileOp> tiles_before_stores(const std::vector<TileOp> &ops);

public:
    explicit AddTransfers(const TileProgram &p) : program(p) {
    }
    TileProgram all();
};

/** Puts tile values in the place of input elements. */
class AddTransfers::Replace : public IRMutator {
    using IRMutator::visit;
    AddTransfers &add;
    const TileOp::When when;
    std::vector<TileOp> &loads;  // of the ops so far, too

    /** A value of \p load, which is an element or a cast of one; undefined if it can't be a tile. */
    Expr tile_of(const Expr &load, const Call *call) {
        const std::vector<TileDim> dims = add.tile_dims(load);
        const bool nested = std::any_of(call->args.begin(), call->args.end(), [&](const Expr &a) {
            return !input_elements(a).empty() || add.reads_tiles(a);
        });
        if (dims.empty() || dims.size() > 2 || nested) {
            return Expr();
        }
        for (const TileOp &op : loads) {
            if ((op.when == TileOp::When::Always || op.when == when) && graph_equal(op.expr, load)) {
                return Variable::make(load.type(), op.dst);
            }
        }
        TileOp op;
        op.kind = TileOp::Kind::Load;
        // What belongs to the stream alone is loaded before it is known which strips need it.
        op.when = expr_uses_var(load, add.program.query.name) ? when : TileOp::When::Always;
        op.dst = add.new_tile(call->name, load.type(), dims);
        op.expr = load;
        loads.push_back(op);
        return Variable::make(load.type(), op.dst);
    }

    Expr visit(const Cast *op) override {
        const Call *call = op->value.as<Call>();
        const bool widening = op->type == Float(32) && op->value.type().is_float() && op->value.type().bits() < 32;
        if (widening && call && call->call_type == Call::Image) {
            const Expr tile = tile_of(op, call);
            if (tile.defined()) {
                return tile;
            }
        }
        return IRMutator::visit(op);
    }

    Expr visit(const Call *op) override {
        // Narrow floats lie in memory as float32.
        if (op->call_type == Call::Image && !(op->type.is_float() && op->type.bits() < 32)) {
            const Expr tile = tile_of(op, op);
            if (tile.defined()) {
                return tile;
            }
        }
        return IRMutator::visit(op);
    }

public:
    Replace(AddTransfers &a, TileOp::When w, std::vector<TileOp> &l) : add(a), when(w), loads(l) {
    }
};

std::vector<TileOp> AddTransfers::loads_first(const std::vector<TileOp> &ops) {
    std::vector<TileOp> result, loads;
    for (const TileOp &op : ops) {
        TileOp changed = op;
        const bool elementwise = op.kind == TileOp::Kind::Map || op.kind == TileOp::Kind::Reduce || op.kind == TileOp::Kind::Scan;
        if (elementwise && op.expr.defined()) {
            const size_t before = loads.size();
            changed.expr = Replace(*this, op.when, loads).mutate(op.expr);
            result.insert(result.end(), loads.begin() + (std::ptrdiff_t)before, loads.end());
        }
        result.push_back(changed);
    }
    return result;
}

std::vector<TileOp> AddTransfers::tiles_before_stores(const std::vector<TileOp> &ops) {
    std::vector<TileOp> result;
    for (const TileOp &op : ops) {
        TileOp store = op;
        const std::vector<TileDim> dims = op.kind == TileOp::Kind::Store ? dims_of_output(op) : std::vector<TileDim>();
        if (dims.size() == 2 && dims[0].axis == program.query.name && !op.expr.as<Variable>()) {
            TileOp map;
            map.kind = TileOp::Kind::Map;
            map.when = op.when;
            map.dst = new_tile(op.dst, op.expr.type(), dims);
            map.expr = op.expr;
            store.expr = Variable::make(op.expr.type(), map.dst);
            result.push_back(map);
        }
        result.push_back(store);
    }
    return result;
}

TileProgram AddTransfers::all() {
    for (StreamPass &pass : program.passes) {
        for (std::vector<TileOp> *ops : {&pass.prologue, &pass.step, &pass.epilogue, &pass.merge}) {
            *ops = loads_first(tiles_before_stores(*ops));
        }
    }
    return program;
}

}  // namespace

const Call *image_call(const Expr &e) {
    if (const Cast *c = e.as<Cast>()) {
        return image_call(c->value);
    }
    const Call *call = e.as<Call>();
    return call && call->call_type == Call::Image ? call : nullptr;
}

int dimension_along(const Call *call, const std::string &axis) {
    int found = -1;
    for (size_t k = 0; k < call->args.size(); k++) {
        if (!expr_uses_var(call->args[k], axis)) {
            continue;
        }
        const Expr next = substitute(axis, Variable::make(Int(32), axis) + 1, call->args[k]);
        if (found >= 0 || !can_prove(next - call->args[k] == 1)) {
            return -1;
        }
        found = (int)k;
    }
    return found;
}

TileProgram with_tiles_for_transfers(const TileProgram &program) {
    return AddTransfers(program).all();
}

}  // namespace strobe::cpu

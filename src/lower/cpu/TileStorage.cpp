#include "TileStorage.h"

#include "support/Error.h"

#include <algorithm>

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Type storage_type(Type t) {
    if (t.is_bool()) {
        return UInt(8);
    }
    if (t.is_float() && t.bits() < 32) {
        return Float(32);
    }
    return t;
}

int round_up(int x, int to) {
    return (x + to - 1) / to * to;
}

/** Lays out \p dims in the given order. */
TileStorage make_storage(const TileValue &v, std::vector<TileDim> dims, int lanes, int panel_width, bool panels) {
    TileStorage s;
    s.name = v.name + ".tile";
    s.type = storage_type(v.type);
    s.rounded_to = v.type;
    s.dims = std::move(dims);
    s.lanes = lanes;
    s.panel = panels ? panel_width : 0;
    if (!s.dims.empty()) {
        s.padded = round_up(s.dims.back().size, s.dims.size() > 1 ? panel_width : lanes);
        s.row_stride = s.padded;
        // Rows a power of two apart share cache sets.
        if (s.dims.size() > 1 && !panels && s.padded % (8 * lanes) == 0) {
            s.row_stride += 2 * lanes;
        }
    }
    return s;
}

/** \p dims with \p axis moved to the end (\p last) or to the place before the last. */
std::vector<TileDim> with_inner(std::vector<TileDim> dims, const std::string &axis) {
    std::stable_partition(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis != axis; });
    return dims;
}

}  // namespace

Expr Coord::value(int lanes) const {
    return at.defined() ? at : vector * lanes + lane;
}

bool TileStorage::has(const std::string &axis) const {
    return std::any_of(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis == axis; });
}

const std::string &TileStorage::inner() const {
    static const std::string none;
    return dims.empty() ? none : dims.back().axis;
}

int64_t TileStorage::elements() const {
    if (dims.empty()) {
        return 1;
    }
    int64_t n = panel ? padded : row_stride;
    for (size_t k = 0; k + 1 < dims.size(); k++) {
        n *= dims[k].size;
    }
    return n;
}

Expr TileStorage::index(const Point &point) const {
    if (dims.empty()) {
        return 0;
    }
    auto at = [&](const TileDim &d) -> const Coord & {
        auto it = point.find(d.axis);
        strobe_internal_assert(it != point.end()) << name << " is used outside a loop over " << d.axis;
        return it->second;
    };
    Expr outer = 0;
    for (size_t k = 0; k + 1 < dims.size(); k++) {
        outer = outer * dims[k].size + at(dims[k]).value(lanes);
    }
    const Coord &c = at(dims.back());
    if (!panel) {
        Expr row = dims.size() > 1 ? outer * row_stride : Expr(0);
        return simplify(c.at.defined() ? row + c.at : row + c.vector * lanes) + (c.at.defined() ? Expr(0) : c.lane);
    }
    // [elements of the inner dimension / panel][outer][panel]
    int rows = 1;
    for (size_t k = 0; k + 1 < dims.size(); k++) {
        rows *= dims[k].size;
    }
    const int vectors = panel / lanes;
    if (c.at.defined()) {
        return simplify((c.at / panel) * (rows * panel) + outer * panel + c.at % panel);
    }
    return simplify((c.vector / vectors) * (rows * panel) + outer * panel + (c.vector % vectors) * lanes) + c.lane;
}

Expr TileStorage::load(const Point &point) const {
    Expr e = Load::make(type, name, index(point), Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    return rounded_to.is_bool() ? e != make_zero(type) : e;
}

Expr TileStorage::ramp(const Point &point, int count) const {
    return Ramp::make(index(point), 1, count);
}

std::map<std::string, TileStorage> place_values(const TileProgram &program, int lanes, int panel_vectors) {
    // The axis that vectors run along: first what a contraction produces, then
    // what it reads as its second operand, else the last dimension.
    std::map<std::string, std::string> inner, contracted;
    auto visit = [&](const std::vector<TileOp> &ops) {
        for (const TileOp &op : ops) {
            if (op.kind != TileOp::Kind::Contract) {
                continue;
            }
            const TileValue &a = program.value(op.a), &b = program.value(op.b), &dst = program.value(op.dst);
            auto a_has = [&](const std::string &axis) {
                return std::any_of(a.dims.begin(), a.dims.end(), [&](const TileDim &d) { return d.axis == axis; });
            };
            for (const TileDim &d : dst.dims) {
                if (!a_has(d.axis)) {
                    inner[op.dst] = d.axis;
                }
            }
            if (b.dims.size() == 2 && !contracted.count(op.b)) {
                contracted[op.b] = op.axis;
            }
        }
    };
    for (const StreamPass &pass : program.passes) {
        visit(pass.prologue);
        visit(pass.step);
        visit(pass.epilogue);
    }
    std::map<std::string, TileStorage> result;
    for (const TileValue &v : program.values) {
        auto c = contracted.find(v.name);
        auto i = inner.find(v.name);
        if (i == inner.end() && c != contracted.end()) {
            result[v.name] = panel_storage(v.name, v, c->second, lanes, panel_vectors);
        } else {
            auto dims = i == inner.end() ? v.dims : with_inner(v.dims, i->second);
            result[v.name] = make_storage(v, dims, lanes, lanes * panel_vectors, false);
        }
    }
    // The state of another part is copied as it lies.
    for (const StreamPass &pass : program.passes) {
        for (const std::string &name : pass.state) {
            TileStorage &other = result.at(other_part(name));
            const std::string own = other.name;
            other = result.at(name);
            other.name = own;
        }
    }
    return result;
}

TileStorage panel_storage(const std::string &name, const TileValue &like, const std::string &axis,
                          int lanes, int panel_vectors) {
    std::vector<TileDim> dims = like.dims;
    std::stable_partition(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis == axis; });
    TileStorage s = make_storage(like, dims, lanes, lanes * panel_vectors, true);
    s.name = name + ".tile";
    return s;
}

}  // namespace strobe::cpu

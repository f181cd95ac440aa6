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

/** \p dims with \p axis moved to the end. */
std::vector<TileDim> with_inner(std::vector<TileDim> dims, const std::string &axis) {
    std::stable_partition(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis != axis; });
    return dims;
}

int padded_stride(const TileStorage &s) {
    int stride = s.dims.empty() ? 1 : round_up(s.dims.back().size, s.lanes);
    // Rows a power of two apart share cache sets: one more cache line.
    if (s.dims.size() > 1 && stride * s.type.bytes() % 256 == 0) {
        stride += 64 / s.type.bytes();
    }
    return stride;
}

/** The axes that vectors run along in what contractions produce without the query axis:
 * that which the first operand lacks. */
std::map<std::string, std::string> inner_axes(const TileProgram &program) {
    std::map<std::string, std::string> inner;
    auto visit = [&](const std::vector<TileOp> &ops) {
        for (const TileOp &op : ops) {
            if (op.kind != TileOp::Kind::Contract) {
                continue;
            }
            const TileValue &a = program.value(op.a);
            for (const TileDim &d : program.value(op.dst).dims) {
                if (std::none_of(a.dims.begin(), a.dims.end(), [&](const TileDim &x) { return x.axis == d.axis; })) {
                    inner[op.dst] = d.axis;
                }
            }
        }
    };
    for (const StreamPass &pass : program.passes) {
        visit(pass.prologue);
        visit(pass.step);
        visit(pass.epilogue);
    }
    return inner;
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

int64_t TileStorage::elements_of_strip() const {
    int64_t n = dims.empty() ? 1 : row_stride;
    for (size_t k = 0; k + 1 < dims.size(); k++) {
        n *= dims[k].size;
    }
    return n;
}

Expr TileStorage::index(const Point &point) const {
    const Expr base = strips > 1 ? strip * make_const(Int(32), elements_of_strip()) : Expr(0);
    if (dims.empty()) {
        return base;
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
    const Expr row = base + (dims.size() > 1 ? outer * row_stride : Expr(0));
    const Coord &c = at(dims.back());
    return c.at.defined() ? simplify(row + c.at) : simplify(row + c.vector * lanes) + c.lane;
}

Expr TileStorage::load(const Point &point) const {
    Expr e = Load::make(type, name, index(point), Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    return rounded_to.is_bool() ? e != make_zero(type) : e;
}

Expr TileStorage::ramp(const Point &point, int count) const {
    return Ramp::make(index(point), 1, count);
}

std::string Strips::counter(const TileProgram &program) {
    return program.query.name + ".strip";
}

std::map<std::string, TileStorage> place_values(const TileProgram &program, int lanes, const Strips &strips) {
    const std::map<std::string, std::string> inner = inner_axes(program);
    const std::string &rows = program.query.name;
    std::map<std::string, TileStorage> result;
    for (const TileValue &v : program.values) {
        TileStorage s;
        s.name = v.name + ".tile";
        s.type = storage_type(v.type);
        s.rounded_to = v.type;
        s.lanes = lanes;
        s.dims = with_inner(v.dims, rows);
        if (s.inner() == rows) {
            s.dims.back().size = strips.rows;
            s.row_stride = strips.rows;
            s.strips = strips.local.count(v.name) ? 1 : strips.count;
            s.strip = Variable::make(Int(32), Strips::counter(program));
        } else {
            const auto i = inner.find(v.name);
            s.dims = i == inner.end() ? v.dims : with_inner(v.dims, i->second);
            s.row_stride = padded_stride(s);
        }
        result[v.name] = s;
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

TileStorage storage_along(const std::string &name, const TileStorage &like, const std::string &inner) {
    TileStorage s = like;
    s.name = name + ".tile";
    s.dims = with_inner(like.dims, inner);
    s.row_stride = padded_stride(s);
    s.strips = 1;
    return s;
}

}  // namespace strobe::cpu

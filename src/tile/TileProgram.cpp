#include "TileProgram.h"

#include "support/Error.h"

namespace strobe {

const char *name_of(Place place) {
    switch (place) {
    case Place::Shared:
        return "shared";
    case Place::Fragment:
        return "fragment";
    case Place::Row:
        return "row";
    case Place::Column:
        return "column";
    case Place::Uniform:
        return "uniform";
    }
    return "?";
}

std::string other_part(const std::string &value) {
    return value + ".other";
}

const TileValue &TileProgram::value(const std::string &name) const {
    for (const TileValue &v : values) {
        if (v.name == name) {
            return v;
        }
    }
    strobe_internal_error() << "tile program " << this->name << " has no value " << name;
}

bool TileProgram::has_value(const std::string &name) const {
    for (const TileValue &v : values) {
        if (v.name == name) {
            return true;
        }
    }
    return false;
}

const Axis &TileProgram::axis(const std::string &name) const {
    if (query.name == name) {
        return query;
    }
    if (stream.name == name) {
        return stream;
    }
    for (const std::vector<Axis> *list : {&grid, &columns}) {
        for (const Axis &a : *list) {
            if (a.name == name) {
                return a;
            }
        }
    }
    strobe_internal_error() << "tile program " << this->name << " has no axis " << name;
}

}  // namespace strobe

// What a plan calls conditions, and the indexes that it would like for them.
#include "planner.h"

namespace sealpoint::filter {

const char* name_of(ConditionKind kind) {
  switch (kind) {
    case ConditionKind::kMatchKeyword:
    case ConditionKind::kMatchInteger:
    case ConditionKind::kMatchBool:
      return "match";
    case ConditionKind::kAnyKeywords:
    case ConditionKind::kAnyIntegers:
      return "match_any";
    case ConditionKind::kMatchText:
      return "match_text";
    case ConditionKind::kMatchTextAny:
      return "match_text_any";
    case ConditionKind::kMatchPhrase:
      return "match_phrase";
    case ConditionKind::kMatchPrefix:
      return "match_prefix";
    case ConditionKind::kExceptKeywords:
    case ConditionKind::kExceptIntegers:
      return "match_except";
    case ConditionKind::kRange:
      return "range";
    case ConditionKind::kDatetimeRange:
      return "datetime_range";
    case ConditionKind::kGeoBox:
      return "geo_bounding_box";
    case ConditionKind::kGeoRadius:
      return "geo_radius";
    case ConditionKind::kGeoPolygon:
      return "geo_polygon";
    case ConditionKind::kValuesCount:
      return "values_count";
    case ConditionKind::kIsEmpty:
      return "is_empty";
    case ConditionKind::kIsNull:
      return "is_null";
    case ConditionKind::kHasId:
      return "has_id";
    case ConditionKind::kHasVector:
      return "has_vector";
    case ConditionKind::kNested:
      return "nested";
    case ConditionKind::kFilter:
      return "filter";
    case ConditionKind::kSlice:
      return "slice";
  }
  return "";
}

// Texts are compared otherwise where there is a text index, so the server makes none for itself.
bool of_text(ConditionKind kind) {
  return kind == ConditionKind::kMatchText || kind == ConditionKind::kMatchTextAny || kind == ConditionKind::kMatchPhrase;
}

// The type of an index that would answer the condition exactly. Presence is kept by an index of every type; one of
// text can be made for that alone. No type is uuid: such an index changes what its field's conditions mean.
FieldType type_for(ConditionKind kind) {
  switch (kind) {
    case ConditionKind::kMatchInteger:
    case ConditionKind::kAnyIntegers:
    case ConditionKind::kExceptIntegers:
      return FieldType::kInteger;
    case ConditionKind::kMatchBool:
      return FieldType::kBool;
    case ConditionKind::kRange:
      return FieldType::kFloat;
    case ConditionKind::kDatetimeRange:
      return FieldType::kDatetime;
    case ConditionKind::kGeoBox:
    case ConditionKind::kGeoRadius:
    case ConditionKind::kGeoPolygon:
      return FieldType::kGeo;
    case ConditionKind::kValuesCount:
    case ConditionKind::kIsEmpty:
    case ConditionKind::kIsNull:
    case ConditionKind::kMatchText:
    case ConditionKind::kMatchTextAny:
    case ConditionKind::kMatchPhrase:
      return FieldType::kText;
    default:
      return FieldType::kKeyword;
  }
}

}  // namespace sealpoint::filter

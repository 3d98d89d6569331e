package seal

import "errors"

// ErrOpen is the one error of opening: a wrong key, a wrong point or collection and tampering all read the same.
var ErrOpen = errors.New("cannot open the seal")
